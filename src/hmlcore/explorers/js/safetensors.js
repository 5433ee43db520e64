// Reads a safetensors file: eight bytes with the length of a JSON header, the header, the numbers.

const KINDS = {
  F64: (buffer) => new Float64Array(buffer),
  F32: (buffer) => Float64Array.from(new Float32Array(buffer)),
  I64: (buffer) => Float64Array.from(new BigInt64Array(buffer), Number),
  BOOL: (buffer) => Float64Array.from(new Uint8Array(buffer)),
};

/** {metadata, tensors: {name: {shape, data}}} of an ArrayBuffer, all numbers in double precision. */
export function readSafetensors(buffer) {
  if (buffer.byteLength < 8) throw new Error("The file is too short to be a safetensors file.");
  const size = Number(new DataView(buffer).getBigUint64(0, true));
  if (size > buffer.byteLength - 8) throw new Error("The file is no safetensors file, or it was cut short.");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(new Uint8Array(buffer, 8, size)));
  } catch {
    throw new Error("The file is no safetensors file: its header cannot be read.");
  }
  const {__metadata__: metadata = {}, ...entries} = header;
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [start, end]}] of Object.entries(entries)) {
    if (!KINDS[dtype]) throw new Error(`The weight ${name} is stored as ${dtype}, which this page cannot read.`);
    if (8 + size + end > buffer.byteLength) throw new Error(`The file was cut short within the weight ${name}.`);
    tensors[name] = {shape, data: KINDS[dtype](buffer.slice(8 + size + start, 8 + size + end))};
  }
  return {metadata, tensors};
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/** The bytes that a text in base 85 stands for (RFC 1924's digits), five characters for four; a sixteenth less than base 64. */
export function fromBase85(text) {
  const missing = (5 - (text.length % 5)) % 5, digits = text + DIGITS[84].repeat(missing);
  const view = new DataView(new ArrayBuffer((digits.length / 5) * 4));
  for (let i = 0; i < digits.length; i += 5) {
    let word = 0;
    for (let j = 0; j < 5; j++) word = word * 85 + DIGITS.indexOf(digits[i + j]);
    view.setUint32((i / 5) * 4, word);
  }
  return view.buffer.slice(0, view.byteLength - missing);
}
