// A run's page: what a person chooses to see is one small object of words and lists, which is also the address's query.
(() => {
  const LISTS = ["open", "signals"]; // of names that may hold any character: each stands in the address by itself
  const KEPT = ["window", "axis", "smooth", "depth", ...LISTS];
  const USUAL = { axis: "auto", smooth: "auto", depth: "auto" };

  const fromAddress = () => {
    const query = new URLSearchParams(window.location.search);
    return Object.fromEntries(KEPT.filter((name) => query.get(name))
      .map((name) => [name, LISTS.includes(name) ? query.getAll(name) : query.get(name)]));
  };

  const intoAddress = (view) => {
    const address = new URL(window.location.href);
    for (const name of KEPT) {
      address.searchParams.delete(name);
      for (const value of [view[name] || []].flat()) {
        if (value && value !== USUAL[name]) address.searchParams.append(name, value);
      }
    }
    // Not through Dash's router, which would build the page anew.
    if (address.href !== window.location.href) window.history.replaceState(window.history.state, "", address);
  };

  const width = () => {
    const place = document.querySelector(".main-curve");
    return String(Math.round((place ? place.clientWidth : 800) * Math.min(window.devicePixelRatio || 1, 2)));
  };

  const steps = (first, last) => {
    const [from, to] = [Math.max(0, Math.floor(first)), Math.ceil(last)];
    return to > from ? `${from}-${to}` : `${from}-${from + 1}`;
  };

  // What Plotly tells of a zoom: a range, or that a double click has let it go.
  const zoomed = (told) => {
    if (told["xaxis.autorange"]) return "";
    const [first, last] = told["xaxis.range"] || [told["xaxis.range[0]"], told["xaxis.range[1]"]];
    return first === undefined ? null : steps(Number(first), Number(last));
  };

  const same = (one, other) => JSON.stringify([one || []].flat()) === JSON.stringify([other || []].flat());

  const press = (view) => {
    for (const button of document.querySelectorAll(".finding")) {
      const chosen = JSON.parse(button.id).window.replace(" ", "-") === view.window;
      button.setAttribute("aria-pressed", String(chosen));
    }
  };

  const toLoss = () => {
    const loss = document.getElementById("plot-loss-card");
    if (loss && loss.getBoundingClientRect().bottom < 200) loss.scrollIntoView({ block: "start" });
  };

  const changed = (source, property, value, typed) => {
    if (source.startsWith("{")) {
      if (!value) return null;
      toLoss();
      return { window: steps(...JSON.parse(source).window.split(" ").map(Number)) };
    }
    if (source === "whole-run") return value ? { window: "" } : null;
    if (source === "first-step" || source === "last-step") {
      const [first, last] = typed;
      if (!value || (first == null && last == null)) return null;
      return last == null || Number(last) <= Number(first || 0) ? null : { window: steps(Number(first || 0), Number(last)) };
    }
    if (property === "relayoutData") {
      const window_ = value && zoomed(value);
      return window_ == null ? null : { window: window_ };
    }
    return { [source]: value || "" };
  };

  // A map's labels come once; Plotly wants one for each cell.
  const label = ({ data, layout: { meta } }) => {
    if (!meta?.labels) return;
    const text = meta.labels.map((one) => Array(meta.columns).fill(one));
    for (const trace of data) trace.text = text;
  };

  let current = {};
  const toggle = (group) => {
    const open = new Set(current.open || []);
    if (!open.delete(group)) open.add(group);
    window.dash_clientside.set_props("open", { value: [...open] });
  };

  window.runView = { toggle };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    run: {
      view: (...values) => {
        const { callback_context: context, no_update } = window.dash_clientside;
        const [first, last, before] = values.slice(-3);
        if (!before) return (current = { ...fromAddress(), width: width() });
        let view = before;
        for (const { prop_id: id, value } of context.triggered) {
          const at = id.lastIndexOf(".");
          view = { ...view, ...changed(id.slice(0, at), id.slice(at + 1), value, [first, last]) };
        }
        for (const name of KEPT) if (!view[name]) view = { ...view, [name]: "" };
        press(view);
        if (KEPT.every((name) => same(view[name], before[name]))) return no_update;
        intoAddress(view);
        return (current = { ...view, width: width() });
      },
      steps: (view) => {
        const [first, last] = ((view && view.window) || "-").split("-");
        return [first, last].map((step) => (step === "" ? null : Number(step))).concat(view && view.window ? {} : { display: "none" });
      },
      // The groups of layers that the maps show, folded or unfolded; where there are none, nothing is to be chosen.
      groups: (...figures) => {
        const groups = [...new Set(figures.flatMap((figure) => figure?.layout?.meta?.groups || []).filter(Boolean))];
        return [groups, groups.length ? {} : { display: "none" }];
      },
      // Answers may overtake one another: what was made for another view, or asked for earlier, is not drawn.
      draw: (sent, view, drawn) => {
        const { callback_context: context, no_update } = window.dash_clientside;
        const current = sent && KEPT.every((name) => same(sent.view[name], (view || {})[name]));
        if (!current || sent.drawn.asked_s < drawn.asked_s) return context.outputs_list.map(() => no_update);
        press(view);
        return context.outputs_list.map(({ id, property }) => {
          if (id === "plots-caption") return sent.caption;
          if (id === "plots-drawn") return sent.drawn;
          if (property === "style") return sent.styles[id.slice("plot-".length, -"-card".length)];
          const figure = sent.figures[id.replace("plot-", "")];
          if (!figure) return no_update;
          label(figure);
          const place = document.getElementById(id)?.closest(".graph");
          if (place && figure.layout.meta?.height) place.style.height = `${figure.layout.meta.height}px`;
          return figure;
        });
      },
    },
  });
})();
