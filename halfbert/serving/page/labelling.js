// A table that is sent, labelled and fetched.
const MILLISECONDS_BETWEEN_LOOKS = 500;

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// A form that labels a table by the predictor and the rule that `choices()` returns.
function tableForm(choices) {
  const [form, drop, file, column, send, place] = ["sending", "drop", "file", "column", "send", "job"].map((id) => document.getElementById(id));
  let job = 0; // the number of the latest: what comes of earlier ones is not shown

  addEventListener("dragover", (event) => event.preventDefault()); // beside the field the browser would leave the page
  addEventListener("drop", (event) => event.preventDefault());
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.toggle("over", kind.endsWith("er")));
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    form.requestSubmit();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const number = ++job;
    const said = element("p", { class: "said", role: "status" }, "Sending …");
    const bar = element("progress", { "aria-label": "Rows that are labelled" });
    const stop = element("button", { type: "button" }, "Stop");
    place.replaceChildren(element("div", { class: "tools" }, bar, stop), said);
    const stopping = new AbortController();
    stop.addEventListener("click", () => stopping.abort());
    send.disabled = true;
    try {
      const state = await label(file.files[0], stopping.signal, (now) => {
        said.textContent = progress(now);
        if (now.total) [bar.max, bar.value] = [now.total, now.rows];
      });
      if (number === job) place.replaceChildren(...labelled(state));
    } catch (error) {
      place.replaceChildren(element("p", { class: "problem", role: "alert" }, error.name === "AbortError" ? "Stopped." : error.message));
    }
    send.disabled = false;
  });

  async function label(chosen, signal, show) {
    const { predictor, maxError } = choices();
    const query = new URLSearchParams({ name: chosen.name, predictor: predictor.name });
    if (column.value.trim()) query.set("text_column", column.value.trim());
    if (maxError) query.set("max_error", maxError);
    const headers = { "Content-Type": "application/octet-stream" };
    let state = await requestJson(`v1/label?${query}`, { method: "POST", headers, body: chosen, signal });
    const path = `v1/label/${encodeURIComponent(state.id)}`;
    try {
      while (state.status === "waiting" || state.status === "running") {
        show(state);
        await sleep(MILLISECONDS_BETWEEN_LOOKS);
        state = await requestJson(path, { signal });
      }
    } catch (error) {
      if (error.name === "AbortError") request(path, { method: "DELETE" }).catch(() => {});
      throw error;
    }
    if (state.status === "failed") throw new Refused(200, "failed", state.error);
    return state;
  }
}

function progress({ status, rows, total }) {
  if (status === "waiting") return "Waiting for other tables …";
  return total ? `${figure(rows)} of ${figure(total)} rows` : `${figure(rows)} rows`;
}

// The counts of a table, its bars, and the button that fetches it.
function labelled({ id, name, predictor, summary }) {
  const cards = [["rows", summary.rows], ["for a person", summary.reviewed ?? 0]];
  for (const [reason, count] of Object.entries(summary.unanswered ?? {})) cards.push([`unanswered: ${reason}`, count]);
  if (summary.without_label) cards.push(["without a label", summary.without_label]);
  if (summary.truncated) cards.push(["cut", summary.truncated]);
  const list = element("ul", { class: "cards" }, ...cards.map(([title, count]) => element("li", { class: "card" }, element("span", {}, title), element("strong", {}, figure(count)))));
  const counts = Object.entries(summary.labels).sort((one, other) => other[1] - one[1]);
  const most = Math.max(...counts.map(([, count]) => count), 1);
  const rows = barsOf(counts.map(([label, count]) => [element("span", { dir: "auto" }, label), count / most, figure(count), true]));
  const bars = element("figure", { class: "bars" }, element("table", {}, element("caption", {}, "Labels"), element("tbody", {}, ...rows)));
  const said = element("span", { role: "status" }, `${figure(summary.rows)} rows in ${figure(summary.seconds, 1)} s by ${predictor} (${summary.engine})`);
  const fetchIt = element("button", { type: "button", class: "main" }, "Download the labelled table");
  fetchIt.addEventListener("click", async () => {
    try {
      const response = await request(`v1/label/${encodeURIComponent(id)}/table`);
      const url = URL.createObjectURL(await response.blob());
      element("a", { href: url, download: downloadName(response, name) }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      said.textContent = error.message;
    }
  });
  return [element("div", { class: "tools" }, fetchIt, said), list, bars];
}

function downloadName(response, name) {
  const header = response.headers.get("Content-Disposition") ?? "";
  const encoded = /filename\*=utf-8''([^;]+)/i.exec(header);
  return encoded ? decodeURIComponent(encoded[1]) : (/filename="([^"]*)"/.exec(header)?.[1] ?? name);
}
