// The arithmetic of the benchmarks: medians, spreads, and ratios of paired repetitions.
// Flow: harness.ts → this.

/** What a row of the table says about one series of numbers. */
export interface Summary {
  median: number
  min: number
  max: number
  /** First and third quartile: half of all repetitions lie between them. */
  q1: number
  q3: number
}

/** The value below which `share` (0–1) of all lie, interpolated between neighbours. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('quantile: no values')
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const below = sorted[Math.floor(at)]!
  const above = sorted[Math.ceil(at)]!
  return below + (above - below) * (at - Math.floor(at))
}

/** The middle value; of an even number of values the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

export function summary(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    q1: quantile(values, 0.25),
    q3: quantile(values, 0.75),
  }
}

/**
 * Ratios of repetitions that ran next to each other: what slows the machine down for a while slows both of a pair, so
 * their ratio is steadier than either.
 * @throws {RangeError} the series are not paired
 */
export function pairedRatios(numerators: readonly number[], denominators: readonly number[]): number[] {
  if (numerators.length !== denominators.length || numerators.length === 0) {
    throw new RangeError(`pairedRatios: ${numerators.length} values against ${denominators.length}`)
  }
  return numerators.map((value, index) => value / denominators[index]!)
}
