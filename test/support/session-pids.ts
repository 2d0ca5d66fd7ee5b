/** Processes that talk to a PKCS#11 module; Linux tells. */
import { readFileSync } from 'node:fs';

/** @param parent whose children they are. Default: this process */
export function sessionPids(parent = process.pid): number[] {
  const text = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8');
  const pids = text.split(' ').filter(Boolean).map(Number);
  return pids.filter((pid) => readProcess(pid, 'cmdline').includes('sealwire-pkcs11'));
}

/** A file of `/proc/PID`; empty when the process has gone. */
export function readProcess(pid: number, name: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** @returns when none of the processes is there any more */
export async function untilGone(pids: readonly number[]): Promise<void> {
  while (pids.some((pid) => readProcess(pid, 'cmdline') !== ''))
    await new Promise((resolve) => setTimeout(resolve, 10));
}
