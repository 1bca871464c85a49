// The page: what is served, what is chosen, and the text that is answered while it is typed.
{
  const MILLISECONDS_OF_REST = 250; // after the last key
  const byId = (id) => document.getElementById(id);
  const chosen = { first: null, second: null, maxError: null };
  const known = new Map(); // the page's own part about each predictor, by name
  let predictors = [];
  let panels = [];
  let asked = 0; // the number of the latest question: answers to earlier ones are not shown
  let running = new AbortController();
  let resting;

  access.wanted = () => (byId("access").hidden = false);
  byId("access").addEventListener("submit", (event) => {
    event.preventDefault();
    access.key = byId("key").value.trim();
    start();
  });

  async function start() {
    byId("refused").textContent = "";
    try {
      if (/[^\x21-\x7e]/.test(access.key)) throw new Refused(401); // no header may hold it
      ({ predictors } = await requestJson("v1/predictors"));
      for (const predictor of predictors) known.set(predictor.name, await requestJson(pathOf(predictor, "about")));
    } catch (error) {
      if (error.status !== 401) byId("served").textContent = error.message;
      else if (access.key) byId("refused").textContent = "This key is not accepted.";
      else byId("served").textContent = "The server wants a key.";
      return;
    }
    byId("access").hidden = true;
    byId("key").value = "";
    byId("served").textContent = `Answered by ${new Intl.ListFormat("en-GB").format(predictors.map((predictor) => predictor.name))}.`;
    if (byId("built").hidden) build();
    ask();
  }

  function build() {
    [chosen.first, chosen.second = null] = predictors;
    tableForm(() => ({ predictor: chosen.first, maxError: guarantees(chosen.first).includes(chosen.maxError) ? chosen.maxError : null }));
    byId("built").hidden = false;
    choose();
    about();
  }

  function choose() {
    const tools = [];
    if (predictors.length > 1) {
      const names = predictors.map(({ name }) => [name, name]);
      tools.push(select("Predictor", names, chosen.first.name, (name) => (chosen.first = find(name))));
      tools.push(select("beside it", [["", "none"], ...names], chosen.second?.name ?? "", (name) => (chosen.second = name ? find(name) : null)));
    }
    const shares = [...new Set(pair().flatMap(guarantees))].sort();
    if (!shares.includes(chosen.maxError)) chosen.maxError = null;
    const wrong = shares.map((share) => [share, `at most ${percent(share).replace(".0", "")} wrong answers`]);
    if (shares.length) tools.push(select("Guarantee", [["", "none"], ...wrong], chosen.maxError ?? "", (share) => (chosen.maxError = share ? Number(share) : null)));
    else tools.push(element("span", { class: "said" }, "No rate of errors can be guaranteed here, so that nothing is left to a person."));
    byId("choices").replaceChildren(...tools);
    fields();
    panels = pair().map((predictor) => new AnswerPanel(predictor, ask));
    byId("answers").replaceChildren(...panels.map((panel) => panel.root));
    byId("column").placeholder = columns().join(", ");
  }

  function select(title, options, value, change) {
    const made = choice(title, options, (now) => {
      change(now);
      choose();
      [...byId("choices").querySelectorAll("label")].find((label) => label.textContent.startsWith(title)).querySelector("select").focus();
      ask();
    });
    made.querySelector("select").value = value;
    return made;
  }

  const find = (name) => predictors.find((predictor) => predictor.name === name);
  const pair = () => [chosen.first, chosen.second].filter((each, number, both) => each && both.indexOf(each) === number);
  const guarantees = (predictor) => known.get(predictor.name).max_errors;
  const columns = () => (chosen.first.text_columns.length ? chosen.first.text_columns : ["text"]);

  // A field for each text column; what was typed stays.
  function fields() {
    const before = [...byId("fields").querySelectorAll("textarea")];
    if (before.length === columns().length && before.every((field, number) => field.name === columns()[number])) return;
    const labels = columns().map((name, number) => {
      const field = element("textarea", { name, rows: columns().length > 1 ? 3 : 6, dir: "auto", oninput: typed });
      field.value = before[number]?.value ?? "";
      return element("label", {}, columns().length > 1 ? name : "Type or paste a text", field);
    });
    byId("fields").replaceChildren(...labels);
  }

  function typed() {
    clearTimeout(resting);
    resting = setTimeout(ask, MILLISECONDS_OF_REST);
  }

  // Ask the predictors one after the other, so that neither takes the processor from the other's milliseconds.
  async function ask() {
    clearTimeout(resting);
    const number = ++asked;
    running.abort();
    running = new AbortController();
    const parts = [...byId("fields").querySelectorAll("textarea")].map((field) => field.value);
    byId("agreement").textContent = "";
    const answers = [];
    for (const panel of panels) {
      if (!parts.some((part) => part.trim())) {
        panel.clear();
        continue;
      }
      try {
        const found = await answerOf(panel, joinedText(parts), parts.length);
        if (number !== asked) return;
        panel.show(joinedText(parts), found, chosen.maxError !== null);
        answers.push(found.answers[0]);
      } catch (error) {
        if (number !== asked || error.name === "AbortError") return;
        panel.clear(error.message);
      }
    }
    if (answers.length === 2 && answers.every((answer) => !answer.error)) byId("agreement").textContent = agreement(...answers);
  }

  async function answerOf(panel, text, parts) {
    const { name, text_columns: theirs } = panel.predictor;
    if (Math.max(theirs.length, 1) !== parts) throw new Refused(0, "columns", `It reads ${Math.max(theirs.length, 1)} text columns, not ${parts}.`);
    const body = { texts: [text], predictor: name, top: panel.top, unread: true };
    if (guarantees(panel.predictor).includes(chosen.maxError)) body.max_error = chosen.maxError;
    return predict(body, running.signal);
  }

  function agreement(one, other) {
    const same = [...labelsOf(one)].sort().join("\n") === [...labelsOf(other)].sort().join("\n");
    if (same) return `Both answer ${shownLabels(one)}.`;
    return `They differ: ${panels[0].predictor.name} answers ${shownLabels(one)}, ${panels[1].predictor.name} ${shownLabels(other)}.`;
  }

  function scoresTables(task) {
    const tested = predictors.filter((predictor) => predictor.task === task && predictor.test);
    return tested.length ? [scoresTable(tested)] : [];
  }

  async function about() {
    const parts = await Promise.all(predictors.map((predictor) => aboutPredictor(predictor, known.get(predictor.name))));
    byId("about").replaceChildren(...["multiclass", "multilabel"].flatMap(scoresTables), ...parts);
  }

  start();
}
