// Draws what the page holds as data, each into its place.
{
  const data = JSON.parse(document.getElementById("drawn").textContent);
  const draw = { table: drawTable, lines: drawLines, matrix: drawMatrix };
  document.querySelectorAll("[data-drawn]").forEach((place, number) => draw[place.dataset.drawn](place, data[number]));

  for (const button of document.querySelectorAll(".command button")) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // where the browser does not let a file write to the clipboard
      }
    });
  }

  // A link to a folded section opens it; paper shows all of them.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
  const opened = new Set();
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) opened.add(details), (details.open = true);
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    opened.clear();
  });
}
