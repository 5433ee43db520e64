// The few operations on vectors that the models need; vectors are Float64Arrays, matrices {shape, data} by rows.

export const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
export const silu = (x) => x * sigmoid(x);
export const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const vector = (size) => new Float64Array(size);

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export const norm = (a) => Math.sqrt(dot(a, a));

/** W x, plus a bias if there is one. */
export function linear(weight, x, bias) {
  const [rows, columns] = weight.shape, y = vector(rows), w = weight.data;
  for (let i = 0; i < rows; i++) {
    let sum = bias ? bias.data[i] : 0;
    for (let j = 0, at = i * columns; j < columns; j++) sum += w[at + j] * x[j];
    y[i] = sum;
  }
  return y;
}

/** x / sqrt(mean x² + eps), times a gain. */
export function rmsNorm(x, gain, eps = 1e-5) {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * gain[i]);
}

/** x of length one; a vector of zeros stays one. */
export function unit(x) {
  const size = Math.max(norm(x), 1e-12);
  return x.map((value) => value / size);
}

export function softmax(x) {
  const top = x.reduce((a, b) => Math.max(a, b), -Infinity), y = x.map((value) => Math.exp(value - top));
  const sum = y.reduce((a, b) => a + b, 0);
  return y.map((value) => value / sum);
}

export const sumOf = (a, b) => a.map((value, i) => value + b[i]);
export const part = (x, index, size) => x.subarray(index * size, (index + 1) * size);

/** Every token's convolution with those before it: taps [channels, size], the last of them its own. */
export function shortConvolution(xs, taps) {
  const [channels, size] = taps.shape;
  return xs.map((_, t) => {
    const y = vector(channels);
    for (let i = 0; i < size; i++) {
      const x = xs[t + 1 - size + i];
      if (x) for (let c = 0; c < channels; c++) y[c] += taps.data[c * size + i] * x[c];
    }
    return y;
  });
}
