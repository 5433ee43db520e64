// Draws every .hml-plotly figure when it comes near the screen, all with one shared plotly.min.js,
// and recolours them when the page changes between light and dark.
(() => {
  const here = document.currentScript.src.replace(/[^/]*$/, "");
  const dark = () => document.documentElement.dataset.theme === "dark";

  // Few buttons, and none that would send the data elsewhere.
  const config = {responsive: true, displaylogo: false, showSendToCloud: false,
                  modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]};

  // What must change with the theme; texts inherit font.color.
  function colours(layout) {
    const [text, grid, line] = dark() ? ["#e6e6e6", "#3d4450", "#6b7280"] : ["#222832", "#e3e6ea", "#9aa1ab"];
    const update = {paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": text,
                    "legend.bgcolor": "rgba(0,0,0,0)", "modebar.bgcolor": "rgba(0,0,0,0)",
                    "modebar.color": line, "modebar.activecolor": text};
    for (const key of Object.keys(layout)) {
      if (!/^[xy]axis\d*$/.test(key)) continue;
      update[key + ".gridcolor"] = grid;
      update[key + ".linecolor"] = update[key + ".zerolinecolor"] = line;
    }
    return update;
  }

  async function draw(div) {
    const figure = JSON.parse(div.querySelector("script").textContent);
    div.textContent = "";
    await Plotly.newPlot(div, figure.data, figure.layout, {...config, ...figure.config});
    if (figure.frames) await Plotly.addFrames(div, figure.frames);
    await Plotly.relayout(div, colours(div._fullLayout));
    div.dataset.drawn = "true";
  }

  function start(divs) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((e) => e.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }, {rootMargin: "400px"});
    divs.forEach((div) => seen.observe(div));
    new MutationObserver(() => {
      for (const div of divs) if (div.dataset.drawn) Plotly.relayout(div, colours(div._fullLayout));
    }).observe(document.documentElement, {attributes: true, attributeFilter: ["data-theme"]});
  }

  // The widget manager typesets labels through MathJax 2's queue.  Pass such calls on to MathJax 3, which
  // in these pages looks only at elements of this class and only for \(...\).
  function serveMathJax2() {
    if (!window.MathJax || MathJax.Hub) return;
    MathJax.Hub = {Queue: (...calls) => {
      for (const [name, , element] of calls) {
        if (name !== "Typeset" || !element) continue;
        element.classList.add("mathjax_process");
        if (!element.children.length) {
          element.textContent = element.textContent.replace(/\$([^$]+)\$/g, "\\($1\\)");
        }
        MathJax.typesetPromise([element]);
      }
    }};
  }

  document.addEventListener("DOMContentLoaded", () => {
    serveMathJax2();
    const divs = [...document.querySelectorAll(".hml-plotly")];
    if (!divs.length) return;
    const script = document.createElement("script");
    script.src = here + "plotly.min.js";
    script.onload = () => start(divs);
    document.head.append(script);
  });
})();
