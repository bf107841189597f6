// Numbers as people read them, by the unit that the feature catalogue gives.

const compact = new Intl.NumberFormat("en-US", { notation: "compact", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const fixed = new Map();
const decimals = (count) => {
  if (!fixed.has(count)) {
    fixed.set(count, new Intl.NumberFormat("en-US", { minimumFractionDigits: count, maximumFractionDigits: count }));
  }
  return fixed.get(count);
};

const byUnit = {
  "currency per share": (value) => decimals(Math.abs(value) < 1 ? 4 : 2).format(value),
  "percent": (value, name) => `${value > 0 && isChange(name) ? "+" : ""}${decimals(2).format(value)} %`,
  "shares": (value) => (Math.abs(value) < 10000 ? decimals(0).format(value) : compact.format(value)),
  "currency": (value) => `$${compact.format(value)}`,
  "times": (value) => `${decimals(value < 10 ? 2 : 1).format(value)}×`,
  "minutes": (value) => `${decimals(0).format(value)} min`,
};

export const catalogue = new Map();

export function label(name) {
  const words = name.replace(/_percent$/, "\u00a0%").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function format(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  const unit = catalogue.get(name)?.unit;
  return unit in byUnit ? byUnit[unit](value, name) : decimals(Number.isInteger(value) ? 0 : 2).format(value);
}

// Only a signed change has a good and a bad side; a volume, a price or a spread has none.
const isChange = (name) => /change|gap/.test(name);

export function direction(name, value) {
  if (typeof value !== "number" || value === 0 || catalogue.get(name)?.unit !== "percent" || !isChange(name)) return "";
  return value > 0 ? "up" : "down";
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
// Sweden writes days as ISO 8601 does.
const dayFormat = new Intl.DateTimeFormat("sv-SE", { year: "numeric", month: "2-digit", day: "2-digit" });

export const milliseconds = (nanoseconds) => nanoseconds / 1e6;
export const clock = (ms) => clockFormat.format(new Date(ms));
export const day = (ms) => dayFormat.format(new Date(ms));
export const count = (value) => (value < 10000 ? decimals(0).format(value) : compact.format(value));

export function zone() {
  const parts = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "local time";
}
