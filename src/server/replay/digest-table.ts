/**
 * A hash table of digests in typed arrays that never pauses: it grows by one slot and one bucket at
 * a time (linear hashing), so no operation ever moves more than the entries of one bucket.
 */
import { randomFillSync } from 'node:crypto';

/** Bytes of a slot with its bucket. */
export const SLOT_BYTES = 28;
/** No slot. */
export const NONE = -1;

// A slot's words: four of the digest, then these. Links are slot + 1, so that fresh memory, all zeros, has none.
const CHAIN = 4;
const LABEL = 5;
/** Not of the slot: first slot of the bucket with the same number. There are as many buckets as slots. */
const HEAD = 6;
const WORDS = 7;

/** 8,192 slots, 224 KiB: what a small service allocates, and the step in which memory grows. */
const CHUNK_BITS = 13;
const CHUNK_SLOTS = 1 << CHUNK_BITS;

/**
 * Digests in numbered slots, each with a label.
 *
 * 16 bytes of a digest are kept. Two digests that share them would count as one, and a token could be
 * refused that was never used; never the reverse. To find a partner for somebody else's token takes
 * 2^128 hashes; an own pair takes 2^64 and harms only its maker.
 *
 * Buckets are chosen by tabulation hashing of 8 bytes with random tables: who makes tokens by the
 * million to find digests with equal bits still cannot gather them in one bucket.
 */
export class DigestTable {
  readonly #tables = randomFillSync(new Uint32Array(8 * 256));
  readonly #chunks: Int32Array[] = [];
  /** Slots ever used, and buckets. */
  #slots = 0;
  /** Greatest power of two below the number of buckets. */
  #level = 1;
  #free = 0;
  #size = 0;

  /** Slots in use. */
  get size(): number {
    return this.#size;
  }

  /** Slots in use and free: those below this number. */
  get slots(): number {
    return this.#slots;
  }

  /** Bytes allocated; they are never given back. */
  get bytes(): number {
    return this.#chunks.length * CHUNK_SLOTS * SLOT_BYTES;
  }

  /** @returns the digest's slot, or {@link NONE} */
  find(digest: Buffer): number {
    if (this.#size === 0) return NONE;
    const w0 = digest.readInt32LE(0);
    const w1 = digest.readInt32LE(4);
    const w2 = digest.readInt32LE(8);
    const w3 = digest.readInt32LE(12);
    let link = this.#read(this.#bucket(w0, w1), HEAD);
    while (link !== 0) {
      const chunk = this.#chunks[(link - 1) >> CHUNK_BITS] as Int32Array;
      const at = ((link - 1) & (CHUNK_SLOTS - 1)) * WORDS;
      const isSame = chunk[at] === w0 && chunk[at + 1] === w1 && chunk[at + 2] === w2 && chunk[at + 3] === w3;
      if (isSame) return link - 1;
      link = chunk[at + CHAIN] as number;
    }
    return NONE;
  }

  /** Allocates what the next `count` digests need: adding them cannot fail half-way. */
  reserve(count: number): void {
    const slots = this.#size + count;
    while (this.#chunks.length * CHUNK_SLOTS < slots) this.#chunks.push(new Int32Array(CHUNK_SLOTS * WORDS));
  }

  /**
   * @param digest one that is not in the table, in 16 bytes or more
   * @param label 1 to 2^31 − 1
   */
  add(digest: Buffer, label: number): void {
    const slot = this.#take();
    for (let word = 0; word < 4; word++) this.#write(slot, word, digest.readInt32LE(word * 4));
    this.#write(slot, LABEL, label);
    this.#link(slot, this.#bucketOf(slot));
  }

  /** The label of a slot, 0 if it is free. */
  label(slot: number): number {
    return this.#read(slot, LABEL);
  }

  /** Frees a slot in use. */
  remove(slot: number): void {
    this.#unlink(slot);
    this.#write(slot, LABEL, 0);
    this.#write(slot, CHAIN, this.#free);
    this.#free = slot + 1;
    this.#size--;
  }

  #take(): number {
    this.reserve(1);
    this.#size++;
    if (this.#free !== 0) {
      const slot = this.#free - 1;
      this.#free = this.#read(slot, CHAIN);
      return slot;
    }
    const slot = this.#slots++;
    if (slot > 0) this.#split(slot);
    return slot;
  }

  /** Makes bucket `added`, the last one: it gets its share of the one that has stood in for it. */
  #split(added: number): void {
    if (added === this.#level * 2) this.#level = added;
    const source = added - this.#level;
    let link = this.#read(source, HEAD);
    this.#write(source, HEAD, 0);
    while (link !== 0) {
      const slot = link - 1;
      link = this.#read(slot, CHAIN);
      this.#link(slot, this.#bucketOf(slot));
    }
  }

  #link(slot: number, bucket: number): void {
    this.#write(slot, CHAIN, this.#read(bucket, HEAD));
    this.#write(bucket, HEAD, slot + 1);
  }

  #unlink(slot: number): void {
    let holder = this.#bucketOf(slot);
    let word = HEAD;
    while (this.#read(holder, word) !== slot + 1) {
      holder = this.#read(holder, word) - 1;
      word = CHAIN;
    }
    this.#write(holder, word, this.#read(slot, CHAIN));
  }

  #bucketOf(slot: number): number {
    return this.#bucket(this.#read(slot, 0), this.#read(slot, 1));
  }

  #bucket(w0: number, w1: number): number {
    const tables = this.#tables;
    let hash = 0;
    for (let at = 0, rest = w0; at < 1_024; at += 256, rest >>>= 8) hash ^= tables[at + (rest & 0xff)] as number;
    for (let at = 1_024, rest = w1; at < 2_048; at += 256, rest >>>= 8) hash ^= tables[at + (rest & 0xff)] as number;
    const bucket = hash & (this.#level * 2 - 1);
    return bucket < this.#slots ? bucket : hash & (this.#level - 1);
  }

  #read(slot: number, word: number): number {
    return (this.#chunks[slot >> CHUNK_BITS] as Int32Array)[(slot & (CHUNK_SLOTS - 1)) * WORDS + word] as number;
  }

  #write(slot: number, word: number, value: number): void {
    (this.#chunks[slot >> CHUNK_BITS] as Int32Array)[(slot & (CHUNK_SLOTS - 1)) * WORDS + word] = value;
  }
}
