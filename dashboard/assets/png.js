// Buttons that hand out the shown curves as a picture: drawn here, with their names and a background of their own.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-png]");
  const plot = button && document.querySelector(`#${CSS.escape(button.dataset.png)} .js-plotly-plot`);
  if (!plot) return;
  const background = getComputedStyle(document.body).getPropertyValue("--surface").trim();
  const layout = {
    ...plot.layout,
    showlegend: plot.data.length > 1 || plot.layout.showlegend !== false,
    paper_bgcolor: background,
    plot_bgcolor: background,
    margin: { ...plot.layout.margin, l: 70, r: 24, t: 40, b: 60 },
  };
  window.Plotly.downloadImage({ data: plot.data, layout }, {
    format: "png", width: 1200, height: 600, scale: 2, filename: button.dataset.name || "diagnose",
  });
});
