// The pointer on a run's plots: one step marked on all of them, a click on a finding's window that leads to the
// finding, and a click on a group of layers that folds or unfolds it.
(() => {
  const CLICK_PX = 4; // moved further, it was a drag
  let down = null;

  const plotAt = (target) => {
    const drawn = target.closest?.(".run-page .graph")?.querySelector(".js-plotly-plot");
    return drawn?._fullLayout?.xaxis ? drawn : null;
  };
  const axisPx = (plot, event) => event.clientX - plot.getBoundingClientRect().left - plot._fullLayout.xaxis._offset;
  const overSteps = (plot) => Boolean(plot._fullLayout.meta?.overSteps);

  const marker = (plot) => {
    const place = plot.closest(".graph");
    let line = place.querySelector(".step-marker");
    if (!line) {
      line = document.createElement("div");
      line.className = "step-marker";
      place.append(line);
    }
    return line;
  };

  const hide = () => document.querySelectorAll(".step-marker").forEach((line) => (line.style.display = "none"));

  const markOthers = (source, step) => {
    for (const plot of document.querySelectorAll(".run-page .js-plotly-plot")) {
      const { xaxis, yaxis, meta } = plot._fullLayout || {};
      if (!xaxis || !meta?.overSteps || !plot.offsetParent) continue;
      const line = marker(plot);
      const px = xaxis.l2p(step);
      const inside = plot !== source && px >= 0 && px <= xaxis._length;
      line.style.display = inside ? "block" : "none";
      if (inside) {
        Object.assign(line.style, {
          left: `${xaxis._offset + px}px`,
          top: `${yaxis._offset}px`,
          height: `${yaxis._length}px`,
        });
        line.dataset.step = Math.round(step).toLocaleString("en");
      }
    }
  };

  document.addEventListener("pointermove", (event) => {
    const plot = plotAt(event.target);
    if (!plot || !overSteps(plot)) return hide();
    const px = axisPx(plot, event);
    if (px < 0 || px > plot._fullLayout.xaxis._length) return hide();
    markOthers(plot, plot._fullLayout.xaxis.p2l(px));
  });

  // The narrowest window under the pointer: a short one inside a long one can be reached too.
  const windowAt = (plot, event) => {
    const { meta, xaxis } = plot._fullLayout;
    const label = event.target.closest(".annotation");
    if (label) return meta.windows[Number(label.dataset.index)];
    const px = axisPx(plot, event);
    if (px < 0 || px > xaxis._length) return null;
    const slack = Math.abs(xaxis.p2l(3) - xaxis.p2l(0));
    const step = xaxis.p2l(px);
    return meta.windows
      .filter(({ window: [first, last] }) => step >= first - slack && step <= last + slack)
      .sort((one, other) => one.window[1] - one.window[0] - (other.window[1] - other.window[0]))[0];
  };

  const select = (place) => {
    const button = [...document.querySelectorAll(".finding")].find((one) => JSON.parse(one.id).place === place);
    if (!button) return;
    document.querySelectorAll(".finding.found").forEach((one) => one.classList.remove("found"));
    button.classList.add("found");
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "center" });
  };

  const unfold = (plot, event) => {
    const { meta, xaxis, yaxis } = plot._fullLayout;
    if (!meta.groups || axisPx(plot, event) > 0 || axisPx(plot, event) < -xaxis._offset) return;
    const row = Math.round(yaxis.p2l(event.clientY - plot.getBoundingClientRect().top - yaxis._offset));
    if (meta.groups[row]) window.runView.toggle(meta.groups[row]);
  };

  document.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]), true);
  document.addEventListener("pointerup", (event) => {
    const moved = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) > CLICK_PX;
    const under = document.elementsFromPoint(event.clientX, event.clientY).find((one) => plotAt(one));
    const plot = under && plotAt(under);
    if (moved || !plot || event.button !== 0) return;
    const { meta } = plot._fullLayout;
    const found = meta?.windows && !event.target.closest?.(".modebar, .legend") ? windowAt(plot, event) : null;
    if (found) select(found.place);
    else unfold(plot, event);
  });
})();
