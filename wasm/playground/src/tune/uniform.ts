/** Random numbers for random search: SplitMix32 (an additive Weyl sequence through the finaliser of MurmurHash3). */
export class Uniform {
  constructor(private state: number) {}

  /** A whole number from 0 to `count - 1`. */
  below(count: number): number {
    this.state = (this.state + 0x9e3779b9) >>> 0;
    let z = this.state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return Math.floor(((z ^ (z >>> 16)) >>> 0) * 2 ** -32 * count);
  }
}
