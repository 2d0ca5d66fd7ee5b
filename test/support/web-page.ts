/** What a page of the tests runs: bundled for browsers. */
import { type ConformanceInput, conformanceCases } from './web-conformance.js';
import { memoryCases } from './web-memory.js';
import { sealingCases } from './web-sealing.js';

/** What became of the cases. */
export interface PageReport {
  readonly passed: number;
  /** Name and reason of each that failed. */
  readonly failed: readonly string[];
}

async function runCases(input: ConformanceInput): Promise<PageReport> {
  const failed: string[] = [];
  let passed = 0;
  for (const { name, run } of [...sealingCases, ...memoryCases, ...conformanceCases(input)]) {
    try {
      await run();
      passed++;
    } catch (error) {
      failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { passed, failed };
}

Object.assign(globalThis, { runCases });
