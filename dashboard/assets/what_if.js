// The what-if page keeps its settings in the address, so that a link holds them, and its sliders beside their fields.
(() => {
  const nearest = (stops, text) => {
    const value = Number(text);
    if (!text?.trim() || !Number.isFinite(value)) return null;
    return stops.reduce((best, stop, at) => (Math.abs(stop - value) < Math.abs(stops[best] - value) ? at : best), 0);
  };
  const byName = (boxes) => Object.fromEntries(boxes.map(({ id, value }) => [id.name, value ?? ""]));
  const put = (type, name, value) => window.dash_clientside.set_props({ type, name }, { value });

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    whatif: {
      keep: () => {
        const [now, fresh] = window.dash_clientside.callback_context.inputs_list;
        const told = [...now.map((box) => [box.id.name, box.value]), ...fresh.map((box) => [`new.${box.id.name}`, box.value])];
        const query = new URLSearchParams(told.filter(([, value]) => value)).toString();
        if (window.location.pathname.endsWith("/what-if")) {
          window.history.replaceState(window.history.state, "", `${window.location.pathname}?${query}`);
        }
        return query;
      },
      // A slider that stands at the stop nearest to its field's number has nothing to say, and one that is being moved
      // follows nothing: so neither chases the other.
      slide: (_moved, stops) => {
        const { inputs_list: [sliders], states_list: [, now, fresh] } = window.dash_clientside.callback_context;
        const [before, after] = [byName(now), byName(fresh)];
        sliders.forEach(({ id: { name }, value: at }) => {
          if (at === (nearest(stops[name], after[name] || before[name]) ?? 0)) return;
          const stop = stops[name][at];
          put("new", name, Number(before[name] || NaN) === stop ? "" : String(stop));
        });
        return window.dash_clientside.no_update;
      },
      follow: (_now, _fresh, stops) => {
        if (document.querySelector(".slider:focus-within, .slider:active")) return window.dash_clientside.no_update;
        const { inputs_list: [now, fresh], states_list: [, sliders] } = window.dash_clientside.callback_context;
        const [before, after] = [byName(now), byName(fresh)];
        sliders.forEach(({ id: { name }, value }) => {
          const at = nearest(stops[name], after[name] || before[name]) ?? 0;
          if (at !== value) put("slider", name, at);
        });
        return window.dash_clientside.no_update;
      },
    },
  });
})();
