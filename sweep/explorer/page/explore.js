// The page of `sweep explore`, and the same view as a widget: tiles of epochs, sliders, curves.
// It knows no formula: each number comes from the engine, through request(name, query, signal).

// A picture is refined in steps: cells 16 and 4 times as wide as a pixel first, in tiles of so many.
const STEPS = [[16, 32], [4, 128], [1, 256]];
const STEPS_SEEN = 80; // of so few epochs in view every other one is darker: the staircase
const MOST_TILES = 200, SAMPLES_OF_CONTOURS = 65, COARSE = 64;
// Milliseconds of a tile after which no finer ones are requested. How long those would take is not
// predicted: a tile takes 4 to 100 ms whatever its size, the more the busier the machine is.
const SLOW = 1000;
const NAMES = {
  learning_rate: "learning rate η", tolerance: "tolerance of |y − a|", max_epochs: "most epochs",
  x: "input x", y: "target y", activation: "activation", cost: "left cost", other_cost: "right cost",
  other_learning_rate: "right learning rate",
};
const words = (name) => name.replaceAll("_", "-");

const element = (name, properties = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
};

const number = (value) => {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
};

const ticks = (low, high, most) => {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
};

export async function mount(root, send, place) {
  let open = 0; // requests without a response yet, and moves that are not followed yet
  const message = element("p", { className: "message", role: "status" });
  const say = (text) => { if (message.textContent !== text) message.textContent = text; };
  const working = "Computing. What is used for the first time is compiled, which takes some seconds.";
  const request = async (...parts) => {
    const late = setTimeout(() => { if (!message.textContent) say(working); }, 800);
    open += 1;
    try {
      return await send(...parts);
    } finally {
      open -= 1;
      clearTimeout(late);
      if (message.textContent === working) say("");
    }
  };
  const about = await request("about", {});
  const named = { ...NAMES, ...(about.rule === "gradient" ? { tolerance: "tolerance of the gradient" } : {}) };
  const starts = about.starts;
  const middle = (ends) => (ends[0] + ends[1]) / 2;
  const width = Math.max(about.extent.w[1] - about.extent.w[0], about.extent.b[1] - about.extent.b[0]);
  const opening = {
    ...about.state, other_learning_rate: null, w: middle(about.extent.w), b: middle(about.extent.b),
    across: width > 0 ? width * 1.02 : 10, start_w: 2, start_b: 2, shows: "error",
    shown: about.stored ? "stored" : "live",
  };
  const state = { ...opening };

  // --- the state in the address --------------------------------------------------------------

  const readPlace = () => {
    const wrong = [];
    for (const [key, text] of new URLSearchParams(place.read())) {
      if (!(key in opening)) { wrong.push(`${key} is not part of a view`); continue; }
      const numeric = typeof opening[key] === "number" || key === "other_learning_rate";
      const value = numeric ? Number(text) : text;
      const choices = {
        activation: Object.keys(about.costs), shows: ["error", "output", "cost"],
        shown: about.stored ? ["stored", "live"] : ["live"],
      }[key];
      if (numeric && (text === "" || !Number.isFinite(value))) wrong.push(`${key} = ${text}: must be a number`);
      else if (choices && !choices.includes(value)) wrong.push(`${key} = ${text}: must be one of ${choices.join(", ")}`);
      else state[key] = value;
    }
    for (const key of ["cost", "other_cost"]) {
      if (!about.costs[state.activation].includes(state[key])) {
        wrong.push(`${key} = ${state[key]}: ${state.activation} goes with ${about.costs[state.activation].join(", ")}`);
        state[key] = about.defaults[state.activation][key === "cost" ? 0 : 1];
      }
    }
    if (!(state.across > 0 && state.across <= 2 * about.limits.farthest)) {
      wrong.push(`across = ${state.across}: must be above 0 and at most ${2 * about.limits.farthest}`);
      state.across = opening.across;
    }
    if (wrong.length) say(`The address was wrong, so the rest is as it opens: ${wrong.join("; ")}`);
  };
  let writing;
  const writePlace = () => {
    clearTimeout(writing);
    writing = setTimeout(() => {
      const changed = Object.entries(state).filter(([key, value]) => value !== opening[key] && value !== null);
      place.write(new URLSearchParams(changed).toString());
    }, 200);
  };

  // --- requests --------------------------------------------------------------------------------

  const problem = (side) => {
    const { learning_rate, tolerance, max_epochs, activation } = state;
    const query = { learning_rate, tolerance, max_epochs, activation, cost: state.cost };
    if (side === 1) {
      query.cost = state.other_cost;
      query.learning_rate = state.other_learning_rate ?? learning_rate;
    }
    if (state.x !== null) Object.assign(query, { x: state.x, y: state.y });
    return query;
  };
  const titles = () => [0, 1].map((side) => {
    const { cost, learning_rate } = problem(side);
    return state.other_learning_rate === null ? words(cost) : `${words(cost)}, η = ${number(learning_rate)}`;
  });
  const failed = (error) => { if (error.name !== "AbortError") say(error.message); };

  // --- tiles -----------------------------------------------------------------------------------

  const tiles = new Map();
  const pending = new Map();
  let generation = 0;
  const slow = new Set(); // steps that would take too long for this problem
  const cellsOf = (side) => ({ ...problem(side), ...(state.shown === "stored" ? { stored: 1 } : {}) });
  const keyOf = (side) => JSON.stringify(cellsOf(side));

  const view = (canvas) => {
    const pixel = state.across / canvas.clientWidth;
    return {
      pixel, left: state.w - state.across / 2, top: state.b + (pixel * canvas.clientHeight) / 2,
      right: state.w + state.across / 2, bottom: state.b - (pixel * canvas.clientHeight) / 2,
    };
  };
  const base = (pixel) => {
    const [least, most] = about.limits.cell;
    return Math.min(Math.max(2 ** Math.ceil(Math.log2(pixel) - 0.5), least), most / 16);
  };
  const tilesIn = ({ left, right, top, bottom, pixel }, [factor, count]) => {
    const cell = base(pixel) * factor, size = cell * count, found = [];
    for (let j = Math.floor(bottom / size); j * size < top; j += 1) {
      for (let i = Math.floor(left / size); i * size < right; i += 1) found.push({ i, j, cell, count, size });
    }
    const middleOf = (tile) => Math.hypot((tile.i + 0.5) * tile.size - state.w, (tile.j + 0.5) * tile.size - state.b);
    return found.sort((a, b) => middleOf(a) - middleOf(b));
  };
  const nameOf = (key, { i, j, cell, count }) => `${key}|${cell}|${count}|${i}|${j}`;

  const fetchTile = async (key, tile) => {
    const name = nameOf(key, tile);
    if (tiles.has(name)) return tiles.get(name);
    if (!pending.has(name)) {
      const control = new AbortController();
      const work = (async () => {
        const epochs = await request("cells", {
          ...JSON.parse(key), cell: tile.cell, columns: tile.count, rows: tile.count,
          w: (tile.i * tile.count + 0.5) * tile.cell, b: (tile.j * tile.count + 0.5) * tile.cell,
        }, control.signal);
        let most = 0, least = Infinity;
        for (const value of epochs) {
          if (value > most) most = value;
          if (value >= 0 && value < least) least = value;
        }
        const made = { ...tile, epochs, most, least, took: epochs.took, image: null };
        tiles.set(name, made);
        return made;
      })();
      work.catch(() => {}).finally(() => pending.delete(name));
      pending.set(name, { work, control });
    }
    return pending.get(name).work;
  };

  const refine = async () => {
    const mine = ++generation;
    const keys = [keyOf(0), keyOf(1)];
    const wanted = new Set();
    for (const step of STEPS) {
      for (const tile of tilesIn(view(maps[0].canvas), step)) {
        for (const key of keys) wanted.add(nameOf(key, tile));
      }
    }
    for (const [name, { control }] of pending) if (!wanted.has(name)) control.abort();
    refining: for (const step of STEPS) {
      if (slow.has(`${keys}|${step[0]}`)) break;
      const next = STEPS[STEPS.indexOf(step) + 1];
      for (const tile of tilesIn(view(maps[0].canvas), step)) {
        for (const side of [0, 1]) {
          try {
            const made = await fetchTile(keys[side], tile);
            if (next && made.took > SLOW) slow.add(`${keys}|${next[0]}`);
            draw();
          } catch (error) {
            if (mine !== generation) return;
            if (step === STEPS[0] || !error.message.startsWith("this takes more than")) { failed(error); return; }
            slow.add(`${keys}|${step[0]}`);
            break refining;
          }
          if (mine !== generation) return;
        }
      }
    }
    if (message.textContent.startsWith("The server")) say("");
    const coarse = STEPS.some((step) => slow.has(`${keys}|${step[0]}`));
    if (coarse && ["", working].includes(message.textContent)) say("A coarse picture: a finer one would take long. Fewer epochs or a larger tolerance make it faster.");
    summarise();
    while (tiles.size > MOST_TILES) tiles.delete(tiles.keys().next().value);
  };

  // --- colours ---------------------------------------------------------------------------------

  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const rgb = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  // The colours go from 0 to the largest epochs in view, rounded up to a power of 10; where all in
  // view differ by less than a factor of 4, from the smallest to the largest, so that steps show.
  let scale = { low: 0, high: 10 }, stepped = [false, false];
  const findScale = () => {
    let least = Infinity, most = 0;
    for (const step of STEPS) {
      const wanted = tilesIn(view(maps[0].canvas), step);
      const shown = [0, 1].map((side) => wanted.map((tile) => tiles.get(nameOf(keyOf(side), tile))));
      if (shown.flat().some((tile) => !tile)) break;
      const ends = shown.map((some) => [Math.min(...some.map((tile) => tile.least)), Math.max(...some.map((tile) => tile.most))]);
      stepped = ends.map(([low, high]) => low > 0 && high - low < STEPS_SEEN);
      least = Math.min(ends[0][0], ends[1][0]);
      most = Math.max(ends[0][1], ends[1][1]);
    }
    const close = least >= 1 && most <= 4 * least && most > least;
    scale = close ? { low: least, high: most } : { low: 0, high: 10 ** Math.ceil(Math.log10(Math.max(most, 10))) };
  };
  const shareOf = (epochs) => (Math.log(epochs + 1) - Math.log(scale.low + 1)) / (Math.log(scale.high + 1) - Math.log(scale.low + 1));
  const paint = (tile, other, steps = false) => {
    const { count } = tile;
    const canvas = tile.image ?? element("canvas", { width: count, height: count });
    const context = canvas.getContext("2d"), pixels = context.createImageData(count, count);
    const plain = rgb(style("--given-up")), hatch = rgb(style("--hatch"));
    const colours = other ? about.colours.ratio : about.colours.epochs;
    for (let row = 0; row < count; row += 1) {
      for (let column = 0; column < count; column += 1) {
        const at = row * count + column, to = 4 * ((count - 1 - row) * count + column);
        const value = tile.epochs[at], against = other?.epochs[at];
        let colour = (row + column) % 4 ? plain : hatch;
        if (value >= 0 && (!other || against >= 0)) {
          const share = other
            ? 0.5 + Math.log2((value + 1) / (against + 1)) / 10
            : shareOf(value);
          colour = colours[Math.max(0, Math.min(255, Math.round(255 * share)))];
          if (steps && value % 2) colour = colour.map((part) => 0.86 * part);
        }
        [pixels.data[to], pixels.data[to + 1], pixels.data[to + 2]] = colour;
        pixels.data[to + 3] = value < -1 || against < -1 ? 0 : 255; // a result does not hold it
      }
    }
    context.putImageData(pixels, 0, 0);
    return canvas;
  };
  const imageOf = (key, tile, otherKey, steps = false) => {
    const mine = tiles.get(nameOf(key, tile));
    if (!mine) return null;
    const look = `${scale.low}|${scale.high}|${steps}|${style("--given-up")}`;
    if (!otherKey) {
      if (mine.look !== look) { mine.image = paint(mine, null, steps); mine.look = look; }
      return mine.image;
    }
    const other = tiles.get(nameOf(otherKey, tile));
    if (!other) return null;
    const ratioLook = `${look}|${otherKey}`;
    if (mine.ratioLook !== ratioLook) {
      mine.ratio = paint({ ...mine, image: mine.ratio }, other);
      mine.ratioLook = ratioLook;
    }
    return mine.ratio;
  };

  // --- drawing ---------------------------------------------------------------------------------

  const prepare = (canvas) => {
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = style("--field");
    context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    context.font = "12px system-ui, sans-serif";
    return context;
  };
  const outlined = (context, text, x, y, align = "left") => {
    context.textAlign = align;
    context.lineWidth = 3;
    context.strokeStyle = style("--paper");
    context.strokeText(text, x, y);
    context.fillStyle = style("--text");
    context.fillText(text, x, y);
  };
  let contours = { levels: [], lines: [] };

  const drawMap = ({ canvas, side }) => {
    const context = prepare(canvas), seen = view(canvas);
    const at = (w, b) => [(w - seen.left) / seen.pixel, (seen.top - b) / seen.pixel];
    context.imageSmoothingEnabled = false;
    for (const step of STEPS) {
      for (const tile of tilesIn(seen, step)) {
        const image = side === 2 ? imageOf(keyOf(0), tile, keyOf(1)) : imageOf(keyOf(side), tile, null, stepped[side]);
        if (!image) continue;
        const [x, y] = at(tile.i * tile.size, (tile.j + 1) * tile.size);
        context.drawImage(image, x, y, tile.size / seen.pixel, tile.size / seen.pixel);
      }
    }
    contours.levels.forEach((level, k) => {
      for (const line of contours.lines[k]) {
        context.beginPath();
        line.forEach(([w, b], n) => context[n ? "lineTo" : "moveTo"](...at(w, b)));
        context.lineWidth = 2.4;
        context.strokeStyle = "#000000aa";
        context.stroke();
        context.lineWidth = 1.1;
        context.strokeStyle = "#ffffff";
        context.stroke();
        const [x, y] = at(...line[Math.floor(line.length / 2)]);
        if (side === 0) outlined(context, number(level), x + 3, y - 3);
      }
    });
    const high = canvas.clientHeight;
    const inside = (at, size) => at > 26 && at < size - 26;
    for (const value of ticks(seen.left, seen.right, 8)) {
      const [x] = at(value, 0);
      if (inside(x, canvas.clientWidth)) outlined(context, number(value), x, high - 5, "center");
    }
    for (const value of ticks(seen.bottom, seen.top, 8)) {
      const y = at(0, value)[1];
      if (inside(y, high)) outlined(context, number(value), 4, y + 4);
    }
    outlined(context, `${about.weight} →`, canvas.clientWidth - 5, high - 5, "right");
    outlined(context, "b ↑", 4, 15);
    for (const { w, b } of starts) ring(context, at(w, b), 4, "#ffffff");
    ring(context, at(state.start_w, state.start_b), 7, "#ff3db5");
  };
  const ring = (context, [x, y], radius, colour) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.lineWidth = 4;
    context.strokeStyle = "#000000";
    context.stroke();
    context.lineWidth = 2;
    context.strokeStyle = colour;
    context.stroke();
  };
  let frame = 0;
  const draw = () => {
    if (frame || !maps[0].canvas.clientWidth) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      findScale();
      maps.forEach(drawMap);
      drawBars();
    });
  };
  const drawBars = () => {
    const marks = [];
    if (scale.low) marks.push(...[scale.low, Math.round((scale.low + scale.high) / 2), scale.high].map((value) => [shareOf(value), number(value)]));
    else for (let value = 1; value <= scale.high; value *= 10) marks.push([shareOf(value), number(value)]);
    for (const { canvas, side } of bars) {
      const context = prepare(canvas), wide = canvas.clientWidth;
      const colours = side === 2 ? about.colours.ratio : about.colours.epochs;
      for (let x = 0; x < wide; x += 1) {
        context.fillStyle = `rgb(${colours[Math.min(255, Math.floor((256 * x) / wide))]})`;
        context.fillRect(x, 0, 1, 12);
      }
      const shown = side === 2 ? [-4, -2, 0, 2, 4].map((k) => [0.5 + k / 10, `${number(2 ** k)}×`]) : marks;
      for (const [share, text] of shown) {
        context.textAlign = share < 0.03 ? "left" : share > 0.97 ? "right" : "center";
        context.fillStyle = style("--text");
        context.fillText(text, share * wide, 26);
      }
    }
  };

  // --- charts ----------------------------------------------------------------------------------

  const chart = (canvas, [xLow, xHigh, xName], [yLow, yHigh, yName], lines) => {
    const context = prepare(canvas), wide = canvas.clientWidth, high = canvas.clientHeight;
    const box = { left: 46, right: wide - 10, top: 10, bottom: high - 34 };
    const x = (value) => box.left + ((value - xLow) / (xHigh - xLow || 1)) * (box.right - box.left);
    const y = (value) => box.bottom - ((value - yLow) / (yHigh - yLow || 1)) * (box.bottom - box.top);
    context.strokeStyle = style("--line");
    context.lineWidth = 1;
    context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    context.fillStyle = style("--text");
    for (const value of ticks(xLow, xHigh, 5)) {
      context.textAlign = "center";
      context.fillText(number(value), x(value), box.bottom + 15);
    }
    for (const value of ticks(yLow, yHigh, 4)) {
      context.textAlign = "right";
      context.fillText(number(value), box.left - 5, y(value) + 4);
    }
    context.textAlign = "center";
    context.fillText(xName, (box.left + box.right) / 2, high - 4);
    context.textAlign = "right";
    context.fillText(yName, box.right - 6, box.top + 15);
    for (const { points, colour, dash = [], thick = 2 } of lines) {
      context.beginPath();
      let pen = "moveTo";
      for (const [a, b] of points) {
        if (b === null) { pen = "moveTo"; continue; }
        context[pen](x(a), y(b));
        pen = "lineTo";
      }
      context.setLineDash(dash);
      context.lineWidth = thick;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.setLineDash([]);
  };
  let curves = [null, null];
  const drawCurves = () => {
    if (!curves[0] || !curves[1]) return;
    const shows = state.shows in curves[0] ? state.shows : "error";
    const series = curves.map((curve) => (curve[shows] ?? []).map((value, k) => [curve.epoch[k], value]));
    const values = series.flat().map(([, value]) => value).filter((value) => value !== null);
    const last = Math.max(...curves.map((curve) => curve.epoch?.at(-1) ?? 1));
    const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-9);
    const colours = [style("--left"), style("--right")];
    const lines = series.map((points, k) => ({ points, colour: colours[k], dash: k ? [7, 4] : [] }));
    if (shows === "error" && about.rule === "error") {
      lines.push({ points: [[0, state.tolerance], [last, state.tolerance]], colour: style("--soft"), dash: [2, 3], thick: 1 });
    }
    chart(curveCanvas, [0, last, "epoch"], [low, high * 1.04, shows], lines);
    cobwebs.forEach((canvas, k) => {
      canvas.parentElement.hidden = !curves[k].map;
      if (!curves[k].map) return;
      const { map, z } = curves[k], ends = [map[0][0], map.at(-1)[0]];
      const path = [[z[0], ends[0]]];
      for (let n = 0; n + 1 < z.length; n += 1) path.push([z[n], z[n + 1]], [z[n + 1], z[n + 1]]);
      chart(canvas, [...ends, "z before an epoch"], [...ends, "z after it"], [
        { points: [[ends[0], ends[0]], [ends[1], ends[1]]], colour: style("--soft"), thick: 1 },
        { points: map.map(([a, b]) => [a, b >= ends[0] && b <= ends[1] ? b : null]), colour: colours[k] },
        { points: path.map(([a, b]) => [a, Math.max(ends[0], Math.min(ends[1], b))]), colour: style("--text"), thick: 1 },
      ]);
    });
  };
  const drawHistogram = (canvas, counted) => {
    const context = prepare(canvas), wide = canvas.clientWidth, high = canvas.clientHeight;
    const box = { left: 46, right: wide - 10, top: 22, bottom: high - 34 }, bins = counted.counts.length;
    const most = Math.max(1, ...counted.counts.flat(), ...counted.unconverged);
    const cellWide = (box.right - box.left) / bins, cellHigh = (box.bottom - box.top) / bins;
    const fill = (x, y, count, tall) => {
      if (!count) return;
      const share = Math.log(count + 1) / Math.log(most + 1);
      context.fillStyle = `rgb(${about.colours.epochs[Math.round(255 * share)]})`;
      context.fillRect(x, y, cellWide + 0.5, tall);
    };
    counted.counts.forEach((column, i) => {
      column.forEach((count, j) => fill(box.left + i * cellWide, box.bottom - (j + 1) * cellHigh, count, cellHigh + 0.5));
      fill(box.left + i * cellWide, 4, counted.unconverged[i], 10);
    });
    context.strokeStyle = style("--line");
    context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    context.fillStyle = style("--text");
    context.textAlign = "right";
    context.fillText("never", box.left - 5, 13);
    context.textAlign = "left";
    context.fillText("epochs", box.left + 6, box.top + 14);
    context.textAlign = "right";
    for (let j = 0; j <= bins; j += bins / 4) {
      context.fillText(number(Math.round(counted.epochs[j])), box.left - 5, box.bottom - j * cellHigh + 4);
    }
    context.textAlign = "center";
    for (const value of ticks(0, counted.error, 5)) {
      context.fillText(number(value), box.left + (value / counted.error) * (box.right - box.left), box.bottom + 15);
    }
    context.fillText("initial error |y − a|", (box.left + box.right) / 2, high - 4);
  };

  let curveControl = new AbortController(), aroundControl = new AbortController(), counted = [];
  const fetchCurves = async () => {
    curveControl.abort();
    curveControl = new AbortController();
    const { signal } = curveControl, start = { w: state.start_w, b: state.start_b };
    try {
      const found = [];
      for (const side of [0, 1]) found.push(await request("curves", { ...problem(side), ...start }, signal));
      curves = found;
      drawCurves();
      describeStart();
    } catch (error) { failed(error); }
  };
  const fetchAround = async () => {
    aroundControl.abort();
    aroundControl = new AbortController();
    const { signal } = aroundControl, seen = view(maps[0].canvas);
    const wide = Math.max(seen.right - seen.left, seen.top - seen.bottom);
    const grid = (count) => {
      const cell = wide / (count - 1);
      return { cell, columns: count, rows: count, w: seen.left, b: state.b - wide / 2 };
    };
    try {
      contours = await request("contours", { ...problem(0), ...grid(SAMPLES_OF_CONTOURS) }, signal);
      draw();
      counted = [];
      for (const side of [0, 1]) {
        counted.push(await request("histogram", { ...problem(side), ...grid(COARSE) }, signal));
        drawHistogram(histograms[side], counted[side]);
      }
    } catch (error) { failed(error); }
  };

  // --- words -----------------------------------------------------------------------------------

  const epochsIn = (code) => (code >= 0 ? number(code) : "never");
  const describeStart = () => {
    const [left, right] = curves, names = titles();
    const rows = [["epochs to converge", (t) => epochsIn(t.epochs)], ["initial error", (t) => number(t.initial_error)],
      ["error at the stop", (t) => number(t.final_error)]];
    if (left.output) rows.push(["first output", (t) => number(t.output[0])]);
    table.replaceChildren(
      element("tr", {}, element("td"), ...[0, 1].map((k) => element("th", { scope: "col", className: k ? "right" : "left" }, names[k]))),
      ...rows.map(([name, get]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, get(left)), element("td", {}, get(right)))),
    );
    const near = starts.find(({ w, b }) => w === state.start_w && b === state.start_b);
    const ends = curves.filter((curve) => curve.cut).map((curve) => curve.epoch.at(-1));
    const cut = ends.length ? ` A curve ends at epoch ${number(Math.min(...ends))}: more would take too long.` : "";
    startText.textContent = (near ? near.text : "") + cut;
  };
  const summarise = () => {
    const step = STEPS[0], seen = view(maps[0].canvas);
    const parts = [0, 1].map((side) => {
      const values = [];
      let all = 0;
      for (const tile of tilesIn(seen, step)) {
        const epochs = tiles.get(nameOf(keyOf(side), tile))?.epochs;
        if (!epochs) continue;
        epochs.forEach((value, at) => {
          const w = (tile.i * tile.count + (at % tile.count) + 0.5) * tile.cell;
          const b = (tile.j * tile.count + Math.floor(at / tile.count) + 0.5) * tile.cell;
          if (value < -1 || w < seen.left || w > seen.right || b < seen.bottom || b > seen.top) return;
          all += 1;
          if (value >= 0) values.push(value);
        });
      }
      values.sort((a, b) => a - b);
      const share = all ? Math.round((100 * values.length) / all) : 0;
      const median = values.length ? `, half of them within ${number(values[Math.floor(values.length / 2)])} epochs and the slowest in ${number(values.at(-1))}` : "";
      return `${titles()[side]}: ${share} % of the starts in view converge${median}`;
    });
    summary.textContent = `${parts.join(". ")}.`;
    maps.forEach(({ canvas, side }) => canvas.setAttribute("aria-label", side === 2
      ? `Ratio of the epochs, left over right. ${summary.textContent}`
      : `Epochs to converge over starting weight and bias. ${parts[side]}.`));
  };

  // --- changes ---------------------------------------------------------------------------------

  let later = null;
  const moved = () => {
    if (!maps[0].canvas.clientWidth) return; // not on the page
    writePlace();
    draw();
    clearTimeout(later);
    later = setTimeout(async () => {
      later = null;
      open += 1;
      try { await Promise.all([refine(), fetchAround()]); } finally { open -= 1; }
    }, 60);
  };
  const changed = () => {
    slow.clear();
    say("");
    headings();
    fetchCurves();
    moved();
  };
  const startAt = (w, b) => {
    const far = about.limits.farthest;
    [state.start_w, state.start_b] = [w, b].map((value) => Math.max(-far, Math.min(far, value)));
    startFields.forEach((field, k) => { field.value = number([state.start_w, state.start_b][k]); });
    writePlace();
    draw();
    fetchCurves();
  };
  const zoom = (factor, w = state.w, b = state.b) => {
    const [least, most] = [about.limits.cell[0] * 600, 2 * about.limits.farthest];
    const across = Math.max(least, Math.min(most, state.across * factor)), by = across / state.across;
    Object.assign(state, { across, w: w + (state.w - w) * by, b: b + (state.b - b) * by });
    moved();
  };

  // --- what is on the page ---------------------------------------------------------------------

  const map = (side) => element("canvas", { className: "map", tabIndex: 0, role: "img", style: "aspect-ratio: 1" });
  const maps = [0, 1, 2].map((side) => ({ side, canvas: map(side) }));
  const bars = [0, 1, 2].map((side) => ({ side, canvas: element("canvas", { style: "height: 30px", "aria-hidden": "true" }) }));
  const heads = [0, 1, 2].map(() => element("h2"));
  const headings = () => {
    const names = titles();
    heads[0].replaceChildren(element("span", { className: "left" }, names[0]), ": epochs to converge");
    heads[1].replaceChildren(element("span", { className: "right" }, names[1]), ": epochs to converge");
    heads[2].replaceChildren("epochs, left over right");
  };
  const tall = { style: "height: 240px", role: "img" };
  const curveCanvas = element("canvas", { ...tall, "aria-label": "Learning curves of the chosen start, both costs" });
  const cobwebs = [0, 1].map((k) => element("canvas", { style: "aspect-ratio: 1; max-height: 320px", role: "img", "aria-label": `Cobweb of z over epochs, ${k ? "right" : "left"}` }));
  const histograms = [0, 1].map((k) => element("canvas", { ...tall, "aria-label": `Starts in view by initial error and epochs, ${k ? "right" : "left"}` }));
  const table = element("table"), startText = element("p"), summary = element("p", { "aria-live": "polite" });

  const controls = element("div", { className: "controls" });
  const fields = {};
  let unique = 0;
  const slider = (key, low, high, logarithmic) => {
    const [to, from] = logarithmic ? [Math.log10, (v) => 10 ** v] : [(v) => v, (v) => v];
    const id = `sweep-${key}-${unique += 1}`;
    const range = element("input", { type: "range", min: to(low), max: to(high), step: (to(high) - to(low)) / 400, id });
    const typed = element("input", { type: "number", step: "any", "aria-label": `${named[key]}, typed` });
    const round = key === "max_epochs" ? Math.round : (v) => Number(v.toPrecision(3));
    const show = () => {
      const value = state[key] ?? state.learning_rate;
      if (key === "y") [range.min, range.max] = about.range[state.activation];
      range.value = to(value);
      typed.value = value;
    };
    range.addEventListener("input", () => { state[key] = round(from(Number(range.value))); typed.value = state[key]; changed(); });
    typed.addEventListener("change", () => {
      if (typed.value === "" || !Number.isFinite(Number(typed.value))) { say(`${named[key]}: must be a number`); show(); return; }
      state[key] = Number(typed.value);
      range.value = to(state[key]);
      changed();
    });
    show();
    fields[key] = show;
    controls.append(element("div", { className: "control" }, element("label", { htmlFor: id }, named[key]), range, typed));
  };
  const choice = (key, options) => {
    const id = `sweep-${key}-${unique += 1}`, select = element("select", { id });
    const show = () => {
      select.replaceChildren(...options().map((name) => element("option", { value: name }, words(name))));
      select.value = state[key];
    };
    select.addEventListener("change", () => {
      state[key] = select.value;
      if (key === "activation") {
        const costs = about.defaults[state.activation], [low, high] = about.range[state.activation];
        [state.cost, state.other_cost] = [costs[0], costs[1]];
        if (state.y !== null) state.y = Math.max(low, Math.min(high, state.y));
        Object.values(fields).forEach((again) => again());
      }
      changed();
    });
    show();
    fields[key] = show;
    controls.append(element("div", { className: "control" }, element("label", { htmlFor: id }, named[key]), select));
  };

  readPlace();
  if (about.stored) {
    const stored = element("input", { type: "checkbox", checked: state.shown === "stored", id: `sweep-stored-${unique += 1}` });
    stored.addEventListener("change", () => { state.shown = stored.checked ? "stored" : "live"; changed(); });
    controls.append(element("div", { className: "control" }, element("label", { htmlFor: stored.id }, "stored cells, as they are"), stored));
  }
  slider("learning_rate", 1e-3, 100, true);
  slider("tolerance", 1e-4, 0.9, true);
  slider("max_epochs", 1, 1e6, true);
  if (state.x !== null) {
    slider("x", -5, 5, false);
    slider("y", ...about.range[state.activation], false);
  }
  choice("activation", () => Object.keys(about.costs));
  choice("cost", () => about.costs[state.activation]);
  choice("other_cost", () => about.costs[state.activation]);
  const apart = element("input", { type: "checkbox", checked: state.other_learning_rate !== null, id: `sweep-apart-${unique += 1}` });
  controls.append(element("div", { className: "control" }, element("label", { htmlFor: apart.id }, "another learning rate on the right"), apart));
  slider("other_learning_rate", 1e-3, 100, true);
  const otherRate = controls.lastChild;
  const showApart = () => { otherRate.hidden = !apart.checked; };
  apart.addEventListener("change", () => {
    state.other_learning_rate = apart.checked ? state.learning_rate : null;
    fields.other_learning_rate();
    showApart();
    changed();
  });
  showApart();

  const startFields = ["w", "b"].map((name) => element("input", { type: "number", step: "any", "aria-label": `start ${name}`, value: number(state[`start_${name}`]) }));
  startFields.forEach((field) => field.addEventListener("change", () => {
    const [w, b] = startFields.map((one) => Number(one.value));
    if (Number.isFinite(w) && Number.isFinite(b)) startAt(w, b);
    else say("start: must be two numbers");
  }));
  const button = (text, act) => {
    const made = element("button", { type: "button" }, text);
    made.addEventListener("click", act);
    return made;
  };
  const shows = element("select", { "aria-label": "what the curves show" },
    ...["error", "output", "cost"].filter((name) => name !== "output" || about.samples === 1).map((name) => element("option", { value: name, selected: name === state.shows }, name)));
  shows.addEventListener("change", () => { state.shows = shows.value; writePlace(); drawCurves(); });

  const copied = element("textarea", { readOnly: true, rows: 10, hidden: true, style: "width: 100%", "aria-label": "what was copied" });
  const copy = (kind) => async () => {
    const seen = view(maps[0].canvas), cell = base(seen.pixel);
    const first = (low) => Math.floor(low / cell), last = (high) => Math.ceil(high / cell) - 1;
    try {
      const spec = await request("spec", {
        ...problem(0), other_cost: problem(1).cost, other_learning_rate: problem(1).learning_rate, cell,
        w: (first(seen.left) + 0.5) * cell, b: (first(seen.bottom) + 0.5) * cell,
        columns: last(seen.right) - first(seen.left) + 1, rows: last(seen.top) - first(seen.bottom) + 1,
      });
      copied.value = spec[kind];
      copied.hidden = false;
      await navigator.clipboard?.writeText(spec[kind]).catch(() => copied.select());
      say("");
    } catch (error) { failed(error); }
  };
  const download = (href, name) => { element("a", { href, download: name }).click(); };
  const picture = () => {
    const gap = 24, side = maps[0].canvas.width, head = 60, bar = Math.round((30 * side) / maps[0].canvas.clientWidth);
    const canvas = element("canvas", { width: 3 * side + 4 * gap, height: side + head + bar + 2 * gap });
    const context = canvas.getContext("2d"), scale = side / maps[0].canvas.clientWidth;
    context.fillStyle = style("--paper");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = style("--text");
    context.font = `${Math.round(15 * scale)}px system-ui, sans-serif`;
    maps.forEach((one, k) => {
      const left = gap + k * (side + gap);
      context.fillText(heads[k].textContent, left, head - 16);
      context.drawImage(one.canvas, left, head);
      context.drawImage(bars[k].canvas, left, head + side + gap / 2);
    });
    return canvas;
  };
  const savePng = () => download(picture().toDataURL("image/png"), "explored.png");
  const saveSvg = () => {
    const drawn = picture(), { width: wide, height: high } = drawn, caption = summary.textContent.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${high}" role="img"><title>${caption}</title><image href="${drawn.toDataURL("image/png")}" width="${wide}" height="${high}"/></svg>`;
    download(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`, "explored.svg");
  };
  const reset = () => {
    for (const key of ["w", "b", "across"]) state[key] = opening[key];
    moved();
  };

  const fixed = Object.entries(about.fixed).map(([name, value]) => `${name} = ${typeof value === "string" ? value : number(value)}`).join(", ");
  const plane = `Across: starting weight ${about.weight}. Up: starting bias b.${fixed ? ` ${fixed}.` : ""}`
    + ` ${about.samples > 1 ? `${about.samples} samples of ${about.inputs} input${about.inputs > 1 ? "s" : ""}.` : ""}`
    + " Hatched: not converged within the most epochs. Lines: equal initial error. Close up, every other"
    + " number of epochs is darker.";
  root.classList.add("sweep");
  root.replaceChildren(
    element("h1", {}, `How many epochs does a neuron need, from where it starts? (${about.name})`),
    message,
    element("div", { className: "panels" }, ...maps.map(({ canvas }, k) => element("figure", {}, element("figcaption", {}, heads[k]), canvas, bars[k].canvas))),
    element("p", { className: "soft" }, plane),
    summary,
    element("div", { className: "buttons" }, button("zoom in", () => zoom(0.5)), button("zoom out", () => zoom(2)), button("whole view", reset),
      button("copy spec.toml", copy("toml")), button("copy Python", copy("python")), button("save PNG", savePng), button("save SVG", saveSvg)),
    copied,
    controls,
    element("h2", {}, "One start: click or drag the ring in a map"),
    element("div", { className: "buttons" }, ...starts.map(({ w, b }) => button(`the article's start (${w}, ${b})`, () => startAt(w, b))),
      element("span", {}, "w "), startFields[0], element("span", {}, "b "), startFields[1], shows),
    startText, table,
    element("div", { className: "below" },
      element("figure", {}, element("figcaption", {}, element("h2", {}, "Learning curves")), curveCanvas),
      element("div", { className: "below" }, ...cobwebs.map((canvas, k) => element("figure", {}, element("figcaption", {}, element("h2", {}, `Cobweb, ${k ? "right" : "left"}`)), canvas))),
      ...histograms.map((canvas, k) => element("figure", {}, element("figcaption", {}, element("h2", {}, `Starts in view, ${k ? "right" : "left"}: epochs against initial error`)), canvas))),
    element("p", { className: "soft" }, "Keys on a map: arrows pan, + and − zoom, Home shows all, Shift with arrows moves the start."),
  );

  // --- mouse, touch, keys ----------------------------------------------------------------------

  for (const { canvas } of maps) {
    const pointers = new Map();
    let dragging = null;
    const world = (event) => {
      const box = canvas.getBoundingClientRect(), seen = view(canvas);
      return [seen.left + (event.clientX - box.left) * seen.pixel, seen.top - (event.clientY - box.top) * seen.pixel];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      const [w, b] = world(event), near = 14 * view(canvas).pixel;
      const onRing = Math.hypot(w - state.start_w, b - state.start_b) < near;
      dragging = { onRing, moved: false };
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before || !dragging) return;
      const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]], { pixel } = view(canvas);
      if (!dragging.moved && Math.hypot(dx, dy) < 4) return;
      dragging.moved = true;
      if (pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const apartOf = (x, y) => Math.hypot(x - other[0], y - other[1]) || 1;
        zoom(apartOf(...before) / apartOf(event.clientX, event.clientY));
      } else if (dragging.onRing) startAt(...world(event));
      else {
        state.w -= dx * pixel;
        state.b += dy * pixel;
        moved();
      }
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    const end = (event) => {
      if (pointers.delete(event.pointerId) && dragging && !dragging.moved && event.type === "pointerup") startAt(...world(event));
      if (!pointers.size) dragging = null;
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(2 ** (event.deltaY / 300), ...world(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (direction && event.shiftKey) startAt(...["start_w", "start_b"].map((key, k) => state[key] + (direction[k] * state.across) / 100));
      else if (direction) {
        state.w += (direction[0] * state.across) / 10;
        state.b += (direction[1] * state.across) / 10;
        moved();
      } else if (event.key === "+" || event.key === "=") zoom(0.7);
      else if (event.key === "-") zoom(1 / 0.7);
      else if (event.key === "Home") reset();
      else return;
      event.preventDefault();
    });
  }
  const redraw = () => { draw(); drawCurves(); counted.forEach((one, k) => drawHistogram(histograms[k], one)); };
  new ResizeObserver(() => { redraw(); moved(); }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  headings();
  fetchCurves();
  // For tests: whether something is still computed, and what the tiles in view hold.
  const busy = () => open > 0 || later !== null || frame !== 0;
  const digest = () => {
    let hash = 0;
    for (const step of STEPS) {
      for (const tile of tilesIn(view(maps[0].canvas), step)) {
        for (const side of [0, 1]) {
          for (const value of tiles.get(nameOf(keyOf(side), tile))?.epochs ?? [-9]) hash = (Math.imul(hash, 31) + value) | 0;
        }
      }
    }
    return hash;
  };
  const epochsAt = (side, w, b) => {
    const cell = base(view(maps[0].canvas).pixel), count = STEPS.at(-1)[1];
    const [column, row] = [w, b].map((value) => Math.floor(value / cell));
    const [i, j] = [column, row].map((at) => Math.floor(at / count));
    const tile = tiles.get(nameOf(keyOf(side), { i, j, cell, count }));
    return tile?.epochs[(row - j * count) * count + (column - i * count)];
  };
  return { state, busy, digest, epochsAt };
}

// --- the page of the server -----------------------------------------------------------------------

const token = globalThis.document?.querySelector('meta[name="sweep-token"]')?.content;
if (token) {
  const request = async (name, query, signal) => {
    let response;
    try {
      response = await fetch(`data/${name}?${new URLSearchParams(query)}`, { headers: { "X-Sweep-Token": token }, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not respond: it was stopped. Start `sweep explore` again and reload this page.");
    }
    const binary = response.headers.get("content-type") === "application/octet-stream";
    if (binary) {
      const epochs = new Int32Array(await response.arrayBuffer());
      epochs.took = Number(/dur=([\d.]+)/.exec(response.headers.get("server-timing"))?.[1] ?? 0);
      return epochs;
    }
    if (response.ok) return response.json();
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `The server responded with status ${response.status}.`);
  };
  const place = {
    read: () => location.hash.slice(1),
    write: (text) => history.replaceState(null, "", `#${text}`),
  };
  const root = document.getElementById("explore");
  mount(root, request, place).then((made) => { globalThis.explored = made; }, (error) => { root.textContent = error.message; });
}

// --- the widget of a notebook ---------------------------------------------------------------------

const render = ({ model, el }) => {
  const waiting = [];
  let current = null, count = 0;
  // One request at a time: what is no longer wanted is dropped before it is sent.
  const next = () => {
    if (current) return;
    current = waiting.shift() ?? null;
    if (current?.signal?.aborted) { current.reject(new DOMException("dropped", "AbortError")); current = null; next(); return; }
    if (current) model.send({ id: current.id, name: current.name, query: current.query });
  };
  const receive = (message, buffers) => {
    if (!current || message.id !== current.id) return;
    const { resolve, reject } = current;
    current = null;
    if (message.error) reject(new Error(message.error));
    else if (message.response) resolve(message.response);
    else {
      const { buffer, byteOffset, byteLength } = buffers[0];
      resolve(Object.assign(new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength)), { took: message.took }));
    }
    next();
  };
  model.on("msg:custom", receive);
  const request = (name, query, signal) => new Promise((resolve, reject) => {
    waiting.push({ id: count += 1, name, query, signal, resolve, reject });
    next();
  });
  const root = element("div");
  el.append(root);
  mount(root, request, { read: () => "", write: () => {} }).catch((error) => { root.textContent = error.message; });
  return () => model.off("msg:custom", receive);
};
export default { render };
