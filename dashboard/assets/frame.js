// What the frame does in the browser: opening pages without a reload, and their titles.
window.openPage = (href) => {
  window.history.pushState({}, "", href);
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate")); // how Dash's own links tell its router
  window.scrollTo(0, 0);
};

// Mantine marks the colour scheme on the page's root. Its toggle's own property misses the system's choice
// at the start, so the mark is what is watched.
const isDark = () => document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
let watching = false;

window.dash_clientside = Object.assign({}, window.dash_clientside, {
  frame: {
    dark: () => {
      if (!watching) {
        watching = true;
        new MutationObserver(() => window.dash_clientside.set_props("dark", { data: isDark() })).observe(
          document.documentElement,
          { attributes: true, attributeFilter: ["data-mantine-color-scheme"] },
        );
      }
      return isDark();
    },
    title: (pathname, search) => {
      const name = pathname.endsWith("/run") ? new URLSearchParams(search).get("name") : null;
      document.title = name ? `${name} · diagnose` : "diagnose";
      return window.dash_clientside.no_update;
    },
  },
});
