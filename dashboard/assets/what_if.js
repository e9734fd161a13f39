// The what-if page keeps its settings in the address, so that a link holds them.
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
  },
});
