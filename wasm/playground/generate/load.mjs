/**
 * The playground's load, from a seed: fifteen functions of the shapes that production traces show (Shahrad et al.,
 * "Serverless in the Wild", USENIX ATC 2020, section 3): steady, diurnal with quiet weekends, timers, bursty, sparse.
 * The shapes and parameters are ours. Functions 0 to 4 are shown, the model is trained on all.
 */

const DAY = 1440;

/** [name, rate a minute over the trace, mean seconds of a run]. */
const FUNCTIONS = [
  ["steady", (m) => steady(m, 6), 1.5],
  ["diurnal", (m, random) => diurnal(m, 8, random), 2],
  ["timer and users", (m, random) => diurnal(m, 3, random), 4, { every: 10, number: 6 }],
  ["bursty", (m, random) => bursty(m, 10, 2, 8, random), 2],
  ["sparse", (m) => steady(m, 60 / DAY), 5],
  ["steady", (m) => steady(m, 0.7), 3],
  ["steady", (m) => steady(m, 60), 2],
  ["diurnal", (m, random) => diurnal(m, 0.8, random), 5],
  ["diurnal", (m, random) => diurnal(m, 40, random), 4],
  ["timer", () => [], 2, { every: 1, number: 1 }],
  ["timer", () => [], 20, { every: 15, number: 10 }],
  ["timer", () => [], 30, { every: 60, number: 20 }],
  ["bursty", (m, random) => bursty(m, 10, 1, 12, random), 2],
  ["bursty", (m, random) => bursty(m, 6, 4, 5, random), 3],
  ["sparse", (m) => steady(m, 20 / DAY), 10],
];

export const NAMES = FUNCTIONS.map(([name], index) => `${name} ${index}`);

/** Counts and peaks of every function over `days` days: `[function][minute] = [count, peak]`. */
export function load(seed, days) {
  return FUNCTIONS.map(([, rate, duration, timer], index) => {
    const random = uniforms(seed * 1000 + index);
    const minutes = days * DAY;
    return measure(arrivals(rate(minutes, random), timer, minutes, random), duration, minutes, random);
  });
}

/** The load in the long form, of the minutes from 0 to `minutes` and the functions named by number. */
export function series(load, functions, minutes) {
  const rows = ["minute,func,cnt,act"];
  for (let minute = 0; minute < minutes; minute++) {
    for (const func of functions) {
      const [count, peak] = load[func][minute];
      if (count > 0 || peak > 0) rows.push(`${minute},${func},${count},${peak}`);
    }
  }
  return `${rows.join("\n")}\n`;
}

/** Uniform numbers in (0, 1): SplitMix32 (an additive Weyl sequence through the finaliser of MurmurHash3). */
function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (((z ^ (z >>> 16)) >>> 0) + 0.5) / 2 ** 32;
  };
}

const exponential = (mean, random) => -mean * Math.log(random());
const normal = (random) => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());

function steady(minutes, mean) {
  return Array(minutes).fill(mean);
}

/** Follows the day, with quieter weekends, and with a slow noise that makes no two days alike. */
function diurnal(minutes, mean, random) {
  const [amplitude, weekend, peak] = [0.5 + 0.4 * random(), 0.3 + 0.6 * random(), 9 + 11 * random()];
  let noise = 0;
  const rates = Array.from({ length: minutes }, (_, minute) => {
    const angle = (2 * Math.PI * ((minute % DAY) / 60 - peak)) / 24;
    noise = 0.97 * noise + 0.05 * normal(random);
    const day = Math.floor(minute / DAY) % 7 >= 5 ? weekend : 1;
    return Math.max(0.03, 1 + amplitude * Math.cos(angle) + 0.25 * amplitude * Math.cos(2 * angle)) * day * Math.exp(noise);
  });
  const factor = (mean * minutes) / rates.reduce((sum, rate) => sum + rate, 0);
  return rates.map((rate) => rate * factor);
}

/** Bursts of `length` minutes on average between nearly nothing; `variation` is that of the counts of a minute. */
function bursty(minutes, mean, variation, length, random) {
  const duty = 1 / (1 + Math.max(0.05, variation ** 2 - 1 / mean));
  const low = 0.02 * mean;
  const high = (mean - (1 - duty) * low) / duty;
  let on = random() < duty;
  const rates = [];
  while (rates.length < minutes) {
    const stay = Math.max(1, Math.round(exponential(on ? length : (length * (1 - duty)) / duty, random)));
    for (let k = 0; k < stay && rates.length < minutes; k++) rates.push(on ? high : low);
    on = !on;
  }
  return rates;
}

/** Starts in seconds, sorted: Poisson at these rates, and `number` every `every` minutes. */
function arrivals(rates, timer, minutes, random) {
  const starts = [];
  rates.forEach((rate, minute) => {
    for (let at = exponential(60 / rate, random); at < 60; at += exponential(60 / rate, random)) starts.push(60 * minute + at);
  });
  const phase = 5 + 45 * random();
  for (let minute = 0; timer && minute < minutes; minute += timer.every) {
    for (let k = 0; k < timer.number; k++) starts.push(60 * minute + phase + 0.5 * Math.abs(normal(random)));
  }
  return starts.sort((a, b) => a - b);
}

/** Invocations started and peak of running ones in every minute; runs are log-normal with a variation of 0.5. */
function measure(starts, mean, minutes, random) {
  const sigma = Math.sqrt(Math.log(1.25));
  const rows = Array.from({ length: minutes }, () => [0, 0]);
  let running = [];
  let next = 0;
  rows.forEach((row, minute) => {
    running = running.filter((end) => end > 60 * minute);
    row[1] = running.length;
    for (; next < starts.length && starts[next] < 60 * (minute + 1); next++) {
      const start = starts[next];
      running = running.filter((end) => end > start);
      running.push(start + mean * Math.exp(sigma * normal(random) - (sigma * sigma) / 2));
      row[0]++;
      row[1] = Math.max(row[1], running.length);
    }
  });
  return rows;
}
