// From texts to probabilities, confidence and whether a person is asked, as `halfbert.predictor` and `halfbert.scoring` have them.
const TOKENS_PER_BATCH = 1024; // padding included
const [LEAST_FLOAT, LEAST_PROBABILITY] = [1e-45, 1e-6];
const SPECIAL_TOKENS = 2;
const OVERLAP = 4;

// The tokens of a text as the model reads them: one list, or in windows one for each.
function keptTokens(tokens, { maxlen, long, head_tokens: head }) {
  if (tokens.length <= maxlen) return [tokens];
  const last = tokens.at(-1);
  if (long === "cut") return [[...tokens.slice(0, maxlen - 1), last]];
  const room = maxlen - SPECIAL_TOKENS;
  if (long === "head-tail") return [[...tokens.slice(0, 1 + head), ...tokens.slice(tokens.length - 1 - (room - head))]];
  const left = tokens.length - maxlen;
  const count = 1 + Math.ceil(left / (room - Math.floor(room / OVERLAP)));
  return Array.from({ length: count }, (_, number) => {
    const begin = 1 + Math.floor((number * left) / (count - 1));
    return [tokens[0], ...tokens.slice(begin, begin + room), last];
  });
}

// The logits of a text from those of its windows.
function pooledLogits(rows, { pooling, task }) {
  if (rows.length === 1) return rows[0];
  const labels = Array.from(rows[0].keys());
  const mean = (weights) => labels.map((label) => Math.fround(sum(rows.map((row, at) => weights[at][label] * row[label])) / sum(weights.map((each) => each[label]))));
  if (pooling.name === "mean") return mean(rows.map(() => labels.map(() => 1)));
  const margin = (row) => {
    const [first, second] = Array.from(row).sort((one, other) => other - one);
    return Math.fround(first - second);
  };
  const scores = rows.map((row) => (task === "multilabel" ? Array.from(row) : labels.map(() => margin(row))));
  const highest = labels.map((label) => Math.max(...scores.map((each) => each[label])));
  if (pooling.name === "max") return task === "multilabel" ? highest : rows[scores.findIndex(([score]) => score === highest[0])];
  return mean(scores.map((each) => each.map((score, label) => Math.exp(pooling.sharpness * (score - highest[label])))));
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function softmax(logits) {
  const most = Math.max(...logits);
  const each = Array.from(logits, (logit) => Math.exp(logit - most));
  const total = sum(each);
  return each.map((value) => value / total);
}

function sigmoid(logit) {
  return logit >= 0 ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit) / (1 + Math.exp(logit));
}

// Log-odds of each label; of one label a text its logit less the log-sum-exp of the others.
function logOdds(logits, task) {
  if (task === "multilabel") return Array.from(logits);
  return Array.from(logits, (logit, label) => {
    const others = Array.from(logits).filter((_, other) => other !== label);
    const most = Math.max(...others);
    return logit - most - Math.log(sum(others.map((other) => Math.exp(other - most))));
  });
}

class Classifier {
  constructor(stated, session) {
    this.stated = stated;
    this.session = session;
    this.tokenizer = new Tokenizer(stated.tokenizer);
  }

  // The logits of lists of ids, in their order. `rest` is awaited after each batch, with the number of rows answered.
  async logits(rows, rest = null) {
    const order = Array.from(rows.keys()).sort((one, other) => rows[other].length - rows[one].length || one - other);
    const found = new Array(rows.length);
    for (let start = 0; start < order.length; ) {
      const longest = rows[order[start]].length;
      const batch = order.slice(start, start + Math.max(1, Math.floor(TOKENS_PER_BATCH / longest)));
      const ids = new Int32Array(batch.length * longest);
      const mask = new Int32Array(ids.length);
      batch.forEach((row, number) => {
        ids.set(rows[row], number * longest);
        mask.fill(1, number * longest, number * longest + rows[row].length);
      });
      const tensor = (values) => new ort.Tensor("int32", values, [batch.length, longest]);
      const { logits } = await this.session.run({ input_ids: tensor(ids), attention_mask: tensor(mask) });
      const labels = logits.dims[1];
      batch.forEach((row, number) => (found[row] = logits.data.slice(number * labels, (number + 1) * labels)));
      start += batch.length;
      if (rest) await rest(start, rows.length);
    }
    return found;
  }

  // Of each text its `probabilities`, and how many `tokens` it has.
  async answers(texts, rest = null) {
    const ids = texts.map((text) => this.tokenizer.encode(text).ids);
    const windows = ids.map((each) => keptTokens(each, this.stated));
    const logits = await this.logits(windows.flat(), rest);
    let place = 0;
    return ids.map((each, number) => {
      const rows = logits.slice(place, (place += windows[number].length));
      return { tokens: each.length, probabilities: this.probabilities(pooledLogits(rows, this.stated)) };
    });
  }

  probabilities(logits) {
    const exact = this.stated.task === "multilabel" ? Array.from(logits, sigmoid) : softmax(logits);
    return exact.map(Math.fround);
  }

  // Which labels are the answer: the likeliest, or of several those that reach their thresholds.
  answered(probabilities) {
    const { thresholds } = this.stated;
    if (thresholds) return probabilities.map((probability, label) => probability >= thresholds[label]);
    const first = probabilities.indexOf(Math.max(...probabilities));
    return probabilities.map((_, label) => label === first);
  }

  calibrated(probabilities) {
    const { temperature, platt } = this.stated;
    if (platt) {
      return probabilities.map((probability, label) => {
        const clipped = Math.min(Math.max(probability, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY);
        return sigmoid(platt[label][0] * (Math.log(clipped) - Math.log1p(-clipped)) + platt[label][1]);
      });
    }
    return temperature ? softmax(probabilities.map((probability) => Math.log(Math.max(probability, LEAST_FLOAT)) / temperature)) : probabilities;
  }

  // How likely the answer is right, and whether a person is to see it by a rule, one of the predictor's (null: none).
  decide(probabilities, rule) {
    const answered = this.answered(probabilities);
    const given = answered.filter(Boolean).length;
    const calibrated = this.calibrated(probabilities);
    const among = (values) => sum(values.filter((_, label) => answered[label]));
    const confidence = given ? among(calibrated) / given : 1 - Math.max(...calibrated);
    if (!rule) return { answered, calibrated, confidence, review: false };
    const wrong = this.stated.thresholds ? among(probabilities.map((each) => 1 - each)) : sum(probabilities.filter((_, label) => !answered[label]));
    const score = Math.log(Math.max(given ? among(probabilities) : 1, LEAST_FLOAT)) - Math.log(Math.max(wrong, LEAST_FLOAT));
    return { answered, calibrated, confidence, review: rounded(score, 3) <= rule.cut };
  }
}

// Rounded to so many decimals, halves to the even number, as numpy does.
function rounded(value, decimals) {
  const scaled = value * 10 ** decimals;
  const near = Math.round(scaled);
  return (Math.abs(scaled % 1) === 0.5 && near % 2 ? near - 1 : near) / 10 ** decimals;
}
