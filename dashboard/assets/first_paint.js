// Sets the colour scheme before the first paint, as Mantine will: the stored choice, else the system's.
(() => {
  let scheme = null;
  try { scheme = localStorage.getItem("mantine-color-scheme-value"); } catch { /* storage is switched off */ }
  if (scheme !== "light" && scheme !== "dark") {
    scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
})();
