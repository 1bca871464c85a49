// Curves as SVG, drawn anew when the width changes, so that letters keep their size on a phone.
function ticks(low, high, most, whole) {
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  let step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function extent(numbers) {
  const known = numbers.filter((number) => number != null);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
}

function drawLines(place, data) {
  const canvas = element("div");
  const ends = data.series.map((each) => {
    const last = each.y.findLast((value) => value != null);
    return `${each.name}: ${figure(last)} at the end`;
  });
  const about = `${data.title}. ${data.x_title} against ${data.y_title}. ${ends.join("; ")}. ${data.caption}`;
  place.append(element("div", { class: "title" }, data.title), canvas);
  if (data.caption) place.append(element("figcaption", {}, data.caption));
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now > 0 && now !== width) canvas.replaceChildren(chart(data, (width = now), about));
  }).observe(canvas);
}

function chart(data, width, about) {
  const longest = Math.max(...data.series.map((each) => each.name.length), 0);
  const margin = { left: 48, right: Math.min(width * 0.4, 14 + 7 * longest), top: 10, bottom: 42 };
  const height = Math.max(210, Math.min(320, width * 0.6));
  const [xLow, xHigh] = data.diagonal ? [0, 1] : extent(data.series.flatMap((each) => each.x));
  let [yLow, yHigh] = extent(data.series.flatMap((each) => [...each.y, ...each.low, ...each.high]));
  if (data.y_range) [yLow, yHigh] = [Math.min(yLow, data.y_range[0]), Math.max(yHigh, data.y_range[1])];
  else [yLow, yHigh] = [yLow - 0.05 * (yHigh - yLow || 1), yHigh + 0.05 * (yHigh - yLow || 1)];
  const single = xLow === xHigh;
  const x = (value) => margin.left + (single ? 0.5 : (value - xLow) / (xHigh - xLow)) * (width - margin.left - margin.right);
  const y = (value) => height - margin.bottom - ((value - yLow) / (yHigh - yLow || 1)) * (height - margin.top - margin.bottom);
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": about });

  for (const tick of ticks(yLow, yHigh, 5, false)) {
    svg.append(element("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { class: "tick", x: margin.left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  const whole = !data.diagonal && data.series.every((each) => each.x.every(Number.isInteger));
  const xTicks = single ? [xLow] : ticks(xLow, xHigh, Math.min(8, (width - margin.left - margin.right) / 55), whole);
  for (const tick of xTicks) svg.append(element("text", { class: "tick", x: x(tick), y: height - margin.bottom + 18, "text-anchor": "middle" }, tick.toLocaleString("en-US")));
  svg.append(element("text", { class: "tick", x: (margin.left + width - margin.right) / 2, y: height - 6, "text-anchor": "middle" }, data.x_title));
  svg.append(element("text", { class: "tick", transform: `translate(12 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, data.y_title));
  if (data.diagonal) svg.append(element("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));

  const names = [];
  data.series.forEach((each, number) => {
    const colour = `s${number % 5}`;
    const known = each.x.map((_, index) => index).filter((index) => each.y[index] != null);
    const banded = known.filter((index) => each.low[index] != null && each.high[index] != null);
    if (banded.length > 1) {
      const points = [...banded.map((index) => [each.x[index], each.high[index]]), ...banded.reverse().map((index) => [each.x[index], each.low[index]])];
      svg.append(element("polygon", { class: `band ${colour}`, points: points.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    } else
      for (const index of banded) {
        const at = x(each.x[index]) + 4 * (number - (data.series.length - 1) / 2); // beside each other, not on top
        svg.append(element("line", { class: `line ${colour}`, x1: at, x2: at, y1: y(each.low[index]), y2: y(each.high[index]) }));
      }
    const path = known.map((index, place) => `${place && known[place - 1] === index - 1 ? "L" : "M"}${x(each.x[index])},${y(each.y[index])}`).join("");
    svg.append(element("path", { class: `line ${colour}`, d: path }));
    if (known.length <= 30)
      for (const index of known) svg.append(element("circle", { class: `dot ${colour}`, cx: x(each.x[index]), cy: y(each.y[index]), r: 3 }));
    if (known.length) {
      const [endX, endY] = [x(each.x[known.at(-1)]), y(each.y[known.at(-1)])];
      names.push({ name: each.name, colour, at: endY, endX, endY });
    }
  });
  // Names stand beside the ends of their lines, moved apart where these meet, and are led to where a line ends early.
  names.sort((one, other) => one.at - other.at);
  names.forEach((name, number) => (name.at = Math.max(name.at, number ? names[number - 1].at + 16 : margin.top + 6)));
  for (let number = names.length - 1; number >= 0; number--) {
    const limit = number === names.length - 1 ? height - margin.bottom : names[number + 1].at - 16;
    names[number].at = Math.min(names[number].at, limit);
  }
  const most = Math.floor((margin.right - 14) / 6.5);
  const right = width - margin.right;
  for (const { name, colour, at, endX, endY } of names) {
    if (right - endX > 8 && !single) svg.append(element("line", { class: `leader ${colour}`, x1: endX + 5, y1: endY, x2: right + 7, y2: at }));
    const label = element("text", { x: (single ? endX : right) + 10, y: at + 4, class: colour }, short(name, Math.max(most, 6)));
    label.style.fill = "var(--series)";
    svg.append(label);
  }
  return svg;
}
