// The what-if page keeps its settings in the address, so that a link holds them, and its sliders beside their fields.
(() => {
  const nearest = (stops, text) => {
    const value = Number(text);
    if (!text?.trim() || !Number.isFinite(value)) return null;
    return stops.reduce((best, stop, at) => (Math.abs(stop - value) < Math.abs(stops[best] - value) ? at : best), 0);
  };
  const byName = (boxes) => Object.fromEntries(boxes.map(({ id, value }) => [id.name, value ?? ""]));
  const put = (type, name, value) => window.dash_clientside.set_props({ type, name }, { value });

  // A field is read once a person has stopped typing. The component's own pause would also tell what was put in from
  // here, and tell it late, over what came after.
  const PAUSE_MS = 400;
  const typed = {}; // name of a field -> its timer
  document.addEventListener("input", ({ target }) => {
    if (!target.closest?.(".fields .field") || !target.id) return;
    const { type, name } = JSON.parse(target.id);
    clearTimeout(typed[type + name]);
    typed[type + name] = setTimeout(() => put(type, name, target.value), PAUSE_MS);
  });

  const slideTo = (name, stop, before) => {
    clearTimeout(typed[`new${name}`]);
    put("new", name, Number(before || NaN) === stop ? "" : String(stop));
  };

  // A slider that is being dragged tells its value when it is let go. Told with every move, it would be put back to
  // where it was by the page's answer to an earlier one.
  document.addEventListener("pointermove", () => {
    const thumb = document.querySelector(".fields .slider:active [role=slider]");
    if (!thumb) return;
    const { name } = JSON.parse(thumb.closest(".slider").id);
    window.dash_clientside.set_props("what-if-dragged", { data: { name, at: Number(thumb.ariaValueNow) } });
  });

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
      // Answers may overtake one another: one to what the fields no longer hold is not shown.
      show: (answered) => {
        const { outputs_list: places, states_list: [now, fresh] } = window.dash_clientside.callback_context;
        const asked = (boxes, known) => boxes.every(({ id: { name }, value }) => (value ?? "").trim() === (known[name] ?? ""));
        const current = answered && asked(now, answered.now) && asked(fresh, answered.new);
        const none = (place) => (Array.isArray(place) ? place.map(none) : window.dash_clientside.no_update);
        return current ? answered.shown : places.map(none);
      },
      // A slider that stands at the stop nearest to its field's number has nothing to say, and one that is being moved
      // follows nothing: so neither chases the other.
      slide: (_moved, dragged, stops) => {
        const { triggered, inputs_list: [sliders], states_list: [, now, fresh] } = window.dash_clientside.callback_context;
        const [before, after] = [byName(now), byName(fresh)];
        const moving = triggered.some(({ prop_id: id }) => id.startsWith("what-if-dragged"));
        const stand = moving ? [dragged] : sliders.map(({ id: { name }, value: at }) => ({ name, at }));
        stand.forEach(({ name, at }) => {
          if (at === (nearest(stops[name], after[name] || before[name]) ?? 0)) return;
          slideTo(name, stops[name][at], before[name]);
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
