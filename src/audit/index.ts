/**
 * Write an audit log, verify one, and restore a replay guard from it.
 *
 * @module sealwire/audit
 */

export { type Checkpoint, openCheckpoint } from './format/checkpoint.js';
export { type NoteVerifier, parseVerifierKey } from './format/note-keys.js';
export type { AuditEvent, RecordFieldInput, RecordInput, TokenRef } from './format/record.js';
export type { Finding, FindingKind } from './read/findings.js';
export { type RecentToken, readRecentTokens } from './read/recent-tokens.js';
export { type VerifyOptions, type VerifyReport, verifyLog } from './read/verify-log.js';
export { AuditLog, type AuditLogOptions, type AuditLogStats } from './write/audit-log.js';
export type { GroupWriterStats, WriterState } from './write/group-writer.js';
export type { MerkleLogOptions } from './write/merkle-log.js';
export type { LogFilesOptions } from './write/open-log.js';
export type { RejectNotesOptions } from './write/reject-notes.js';
export type { AuditReport, Reporter } from './write/reports.js';
export type { RetentionOptions } from './write/retention.js';
export type { StoredBudgetOptions } from './write/stored-budget.js';
