/**
 * node-jose, for what is not the hot path: key files under a passphrase, and signatures of key sets. Loaded at first
 * use, because its 320 modules take longer than all else that a short command loads.
 */
import type nodeJose from 'node-jose';

export type NodeJose = typeof nodeJose;

/** @returns the library; the same at each call */
export async function loadNodeJose(): Promise<NodeJose> {
  return (await import('node-jose')).default;
}
