"use strict";
(() => {
  const root = document.documentElement;
  const shade = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 0 });
  const money = (value) => (value === 0 ? "$0" : value >= 1 ? `$${value.toLocaleString("en", { maximumFractionDigits: 2 })}` : `$${Number(value.toPrecision(2))}`);
  const time = (value) => (value >= 3600 ? `${+(value / 3600).toFixed(1)} h` : value >= 120 ? `${+(value / 60).toFixed(1)} m` : value >= 1 || value === 0 ? `${+value.toFixed(1)} s` : `${Math.round(value * 1000)} ms`);
  const units = { "%": (value) => `${value < 1 ? +value.toPrecision(2) : +value.toFixed(value < 10 ? 1 : 0)} %`, tokens: number, $: money };

  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const day = (name) => `${Number(name.slice(8))} ${months[Number(name.slice(5, 7)) - 1]}`;

  // Stacked columns: the sum of all is drawn first, then what is left without the last, and so on.
  const days = (data, width) => {
    const x = data.days.map((day, place) => place);
    const sums = [];
    let below = x.map(() => 0);
    for (const one of data.series) sums.push((below = below.map((value, place) => value + (one.values[place] ?? 0))));
    return {
      columns: [x, ...sums.reverse()],
      series: [...data.series].reverse().map((one) => ({ fill: shade(one.colour), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 44], radius: 0.12 }) })),
      x: (values) => values.map((value) => (Number.isInteger(value) && data.days[value] ? day(data.days[value]) : "")),
      range: [-0.5, x.length - 0.5],
      step: Math.max(1, Math.ceil(x.length / (width / 72))),
      tell: (place) => {
        const parts = data.series.filter((one) => one.values[place]).map((one) => [one.colour, `${one.name} ${money(one.values[place])}`]);
        return [`${data.days[place]}: ${data.told[place]}`, parts];
      },
    };
  };
  const curve = (data) => {
    const points = [...data.points].sort((a, b) => a[0] - b[0]);
    const show = units[data.unit];
    const columns = [points.map((point) => point[0])];
    data.series.forEach((one, place) => columns.push(points.map((point) => (point[2] === place ? point[1] : null))));
    return {
      columns,
      series: data.series.map((one) => ({ stroke: shade(one.colour), width: 2, spanGaps: true, points: { show: true, size: points.length > 150 ? 3 : 6, fill: shade(one.colour) } })),
      range: (_, low, high) => { const room = (high - low || 1) * 0.02; return [low - room, high + room]; },
      x: (values) => values.map((value) => (value < 0 ? "" : time(value))),
      tell: (place) => {
        const [at, value, series, call] = points[place];
        return [`call ${call} at ${time(at)}`, [[data.series[series].colour, `${data.series[series].name} ${show(value)}`]]];
      },
    };
  };
  const kinds = { days, curve };
  const drawn = new Map();

  const tell = (line, found) => {
    line.dataset.note ??= line.textContent;
    line.textContent = found ? found[0] : line.dataset.note;
    for (const [colour, words] of found ? found[1] : []) {
      const chip = document.createElement("i");
      chip.className = colour;
      line.append(chip, words);
    }
  };
  const draw = (place) => {
    const source = place.parentElement.querySelector("script.chart-data")?.textContent;
    const known = drawn.get(place);
    if (!source || !place.clientWidth || (known?.source === source && place.contains(known.plot.root))) return;
    known?.plot.destroy();
    const data = JSON.parse(source);
    const of = kinds[data.kind](data, place.clientWidth);
    const line = place.parentElement.querySelector(".readout");
    const show = units[data.unit];
    const axis = { stroke: shade("quiet"), font: `12px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
    const plot = new uPlot({
      width: place.clientWidth,
      height: place.clientHeight,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
      scales: { x: { time: false, ...(of.range && { range: of.range }) }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      axes: [
        { ...axis, size: 34, grid: { show: false }, values: (_, values) => of.x(values), ...(of.step && { splits: () => of.columns[0].filter((value) => value % of.step === 0) }) },
        { ...axis, size: 62, grid: { stroke: shade("edge"), width: 1 }, values: (_, values) => values.map(show), space: 44 },
      ],
      series: [{}, ...of.series],
      hooks: { setCursor: [(self) => tell(line, self.cursor.idx == null ? null : of.tell(self.cursor.idx))] },
    }, of.columns, place);
    drawn.set(place, { plot, source });
  };
  window.costspanCharts = (within) => within.querySelectorAll("[data-chart]").forEach(draw);
  const again = () => {
    const places = [...drawn.keys()];
    for (const place of places) { drawn.get(place).plot.destroy(); drawn.delete(place); }
    places.filter((place) => place.isConnected).forEach(draw);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 150); });
})();
