// Buttons that copy the lines below them, also where the browser gives pages no clipboard: over plain http, from another
// machine.
(() => {
  const SHOWN_MS = 1500;

  const marked = (lines) => {
    window.getSelection().selectAllChildren(lines);
    return document.execCommand("copy");
  };

  const copied = async (lines) => {
    try {
      await navigator.clipboard.writeText(lines.textContent);
      return true;
    } catch {
      return marked(lines);
    }
  };

  document.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-copy]");
    if (!button) return;
    const done = await copied(button.closest(".snippet").querySelector("pre"));
    button.textContent = done ? "Copied" : "Marked: press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), SHOWN_MS);
  });
})();
