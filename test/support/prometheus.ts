/** Reads what a Prometheus endpoint says, as a scraper does. */

/** Samples by name with labels in order, e.g. `x_total{method="m",reason="OK"}`. */
export type Samples = ReadonlyMap<string, number>;

/** @returns the text and its samples */
export async function scrape(address: string): Promise<{ readonly text: string; readonly samples: Samples }> {
  const response = await fetch(`http://${address}/metrics`);
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
    if (name === '') continue;
    // Scope labels are the same everywhere.
    const own = labels.split(/,(?=[a-z_]+=")/).filter((label) => label !== '' && !label.startsWith('otel_scope_'));
    samples.set(own.length === 0 ? name : `${name}{${own.sort().join(',')}}`, Number(value));
  }
  return { text, samples };
}

/** The sum of all samples of a name whose labels include all of `labels`. */
export function sum(samples: Samples, name: string, ...labels: string[]): number {
  let total = 0;
  for (const [key, value] of samples) {
    const isNamed = key === name || key.startsWith(`${name}{`);
    if (isNamed && labels.every((label) => key.includes(label))) total += value;
  }
  return total;
}
