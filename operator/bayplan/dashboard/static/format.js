// Amounts as people write them. Unknown values are a dash.

const NONE = '–';

export const cpu = (milli) => milli == null ? NONE : number(milli / 1000, 2);

export function memory(bytes) {
  if (bytes == null) return NONE;
  for (const [unit, size] of [['Ti', 2 ** 40], ['Gi', 2 ** 30], ['Mi', 2 ** 20], ['Ki', 2 ** 10]]) {
    if (bytes >= size) return `${number(bytes / size, 1)} ${unit}B`;
  }
  return `${bytes} B`;
}

export const number = (value, digits = 0) => value == null ? NONE
  : value.toLocaleString('en', {maximumFractionDigits: digits});

// Dollars; `micro` are millionths of a dollar.
export const dollars = (micro, digits = 2) => micro == null ? NONE
  : `$${(micro / 1e6).toLocaleString('en', {minimumFractionDigits: digits, maximumFractionDigits: digits})}`;

export const HOURS_A_MONTH = 730;

export const percent = (part, whole, digits = 0) => whole ? `${number(100 * part / whole, digits)} %` : NONE;

// 45s, 12m, 3h, 5d, as kubectl writes ages.
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole}s`;
  if (whole < 7200) return `${Math.floor(whole / 60)}m`;
  if (whole < 172800) return `${Math.floor(whole / 3600)}h`;
  return `${Math.floor(whole / 86400)}d`;
}

export const ago = (epoch, now) => epoch ? age(now - epoch) : NONE;

export function moment(epoch) {
  if (!epoch) return NONE;
  const at = new Date(epoch * 1000);
  const today = new Date();
  const time = at.toLocaleTimeString('en-GB');
  return at.toDateString() === today.toDateString() ? time : `${at.toLocaleDateString('en-CA')} ${time}`;
}

export const relative = (epoch, now) => !epoch ? NONE
  : epoch > now ? `in ${age(epoch - now)}` : `${age(now - epoch)} ago`;
