// The answer of one predictor to the text: its labels with bars, what was not read, and why.
const LABELS_SHOWN = 8;

function barsOf(rows) {
  return rows.map(([head, share, shown, given]) => {
    const bar = element("svg", { "aria-hidden": "true" }, element("rect", { class: given ? "bar" : "bar pale", height: "100%", width: `${100 * share}%` }));
    return element("tr", { class: given && "given" }, element("th", { scope: "row" }, head), element("td", { class: "track" }, bar), element("td", { class: "number" }, shown));
  });
}

function labelsOf(answer) {
  return answer.labels ?? [answer.label];
}

function shownLabels(answer) {
  return labelsOf(answer).join(", ") || "no label";
}

class AnswerPanel {
  constructor(predictor, askAgain) {
    this.predictor = predictor;
    this.columns = predictor.text_columns;
    this.text = null;
    this.explaining = 0; // the number of the latest explanation: a slower one before it is not shown
    this.every = false;
    this.note = element("p", { class: "said" }, predictor.engine);
    this.answer = element("p", { class: "answer", role: "status" });
    this.bars = element("tbody");
    this.table = element("table", { hidden: true }, element("caption", {}, "Press a label to see the words for it and against it."), this.bars);
    this.more = element("button", { type: "button", hidden: true, "aria-pressed": "false" }, `All ${predictor.labels.length} labels`);
    this.more.addEventListener("click", () => {
      this.every = !this.every;
      this.more.setAttribute("aria-pressed", this.every);
      askAgain();
    });
    this.rule = element("p", { class: "said rule" });
    this.read = element("div");
    this.why = element("div");
    this.root = element("article", { "aria-label": predictor.name }, element("h3", {}, predictor.name), this.note, this.answer, this.rule, element("figure", { class: "bars" }, this.table), element("div", { class: "tools" }, this.more), this.read, this.why);
  }

  get top() {
    return this.every ? 1000 : LABELS_SHOWN;
  }

  // Nothing, or why there is no answer.
  clear(reason = "") {
    this.text = null;
    this.answer.className = reason ? "answer problem" : "answer";
    this.answer.replaceChildren(reason);
    this.note.textContent = this.predictor.engine;
    this.rule.textContent = "";
    this.table.hidden = this.more.hidden = true;
    this.read.replaceChildren();
    this.close();
  }

  show(text, found, withRule) {
    const [answer] = found.answers;
    if (answer.error) return this.clear(`This text ${answer.error.message}.`.replace(/^This text expected/, "Expected"));
    const calibrated = found.calibrated ? "" : " (not calibrated)";
    const [kind, decision] = found.rule === null ? ["", "cannot guarantee that rate"] : answer.review ? ["warn", "a person decides"] : ["good", "answered"];
    this.answer.className = "answer";
    this.answer.replaceChildren(element("strong", { dir: "auto" }, shownLabels(answer)), ` confidence ${percent(answer.confidence)}${calibrated} `, withRule ? element("span", { class: `badge ${kind}` }, decision) : "");
    this.note.textContent = `${found.engine}${found.milliseconds == null ? "" : `, ${figure(found.milliseconds, 1)} ms`}`;
    this.rule.textContent = found.rule ?? "";
    if (text !== this.text) this.close();
    this.text = text;
    const given = new Set(labelsOf(answer));
    this.buttons = new Map(answer.top.map(({ label }) => [label, element("button", { type: "button", class: "plain", dir: "auto", "aria-pressed": String(label === this.pressed), onclick: () => this.press(label) }, label)]));
    this.bars.replaceChildren(...barsOf(answer.top.map(({ label, confidence }) => [this.buttons.get(label), confidence, percent(confidence), given.has(label)])));
    this.table.hidden = false;
    this.more.hidden = this.predictor.labels.length <= LABELS_SHOWN;
    this.showRead(answer);
  }

  showRead(answer) {
    if (answer.cut_at == null) return this.read.replaceChildren();
    const sentence = `${figure(answer.cut_at)} of the text's ${figure(answer.tokens)} tokens are read; the pale part is not.`;
    this.read.replaceChildren(element("p", { class: "said" }, sentence), readText(this.text, answer.unread ?? [], this.columns));
  }

  close() {
    this.explaining += 1;
    this.pressed = null;
    this.why.replaceChildren();
    this.mark();
  }

  mark() {
    for (const [label, button] of this.buttons ?? []) button.setAttribute("aria-pressed", label === this.pressed);
    this.read.classList.toggle("explained", this.pressed !== null); // the words show it, too
  }

  async press(label) {
    const again = label === this.pressed;
    this.close();
    if (again) return;
    const number = this.explaining;
    this.pressed = label;
    this.mark();
    const heading = element("h4", { dir: "auto" }, `Why ${label}?`);
    const waiting = element("p", { class: "said", role: "status" }, "Leaving out each word in turn …");
    this.why.replaceChildren(heading, waiting);
    try {
      const { answers } = await predict({ texts: [this.text], predictor: this.predictor.name, explain: true, explain_label: label });
      if (number !== this.explaining) return;
      const { explanation, error } = answers[0];
      if (error) throw new Refused(200, error.code, error.message);
      waiting.textContent = `The network's own probability is ${percent(explanation.probability)}; without the words ${percent(explanation.without_words)}.`;
      this.why.append(...explainedText(this.text, explanation, this.columns));
    } catch (error) {
      if (number === this.explaining) waiting.textContent = error.message;
    }
  }
}
