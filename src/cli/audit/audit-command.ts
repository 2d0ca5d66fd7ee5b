/** Declares `sealwire audit` and its commands. */
import { type Command, Option } from 'commander';
import { collect, wholeNumber } from '../flag-values.js';
import { endWithReader } from '../output.js';
import { addFilterOptions, addFormatOption, addLogOption } from './audit-options.js';
import type { BackupFlags } from './backup.js';
import type { ReviewerKeyFlags } from './make-reviewer-key.js';
import type { OpenFlags } from './open-record.js';
import type { ProveFlags } from './prove.js';
import type { ExportFlags, SearchFlags, ShowFlags, StatsFlags } from './search.js';
import type { TailFlags } from './tail.js';
import type { VerifyFlags } from './verify.js';

const VKEY = ['--vkey <key>', 'file with the verifier key, or the key itself (default: log.vkey of the log)'] as const;

/** Adds the commands; their code is loaded when they run. */
export function registerAudit(program: Command): void {
  const audit = program
    .command('audit')
    .description('read, search, verify and copy audit logs; opens nothing of them for writing')
    .addHelpText('after', '\ndocs/audit.md is a guide for reviewers.');
  registerVerify(audit);
  registerBackup(audit);
  registerSearch(audit);
  registerRead(audit);
  registerProofs(audit);
  registerReview(audit);
}

function registerVerify(audit: Command): void {
  addLogOption(audit.command('verify'))
    .description('compare a log with its hashes, its checkpoints, and checkpoints kept elsewhere')
    .option('--checkpoint <file>', 'checkpoints that were kept; can be repeated', collect)
    .option('--since-checkpoint', 'read only records after the kept checkpoint; of earlier ones, compare the hashes')
    .option(...VKEY)
    .option(
      '--save-checkpoint <file>',
      'compare with the checkpoint in this file, if any; when all is well, save the latest there',
    )
    .addOption(new Option('--format <name>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      `
Exit code 1: something is wrong with the log; the first bad record is named.

Examples:
  sealwire audit verify --dir ./var/audit --vkey kept/log.vkey --checkpoint kept/checkpoint
  sealwire audit verify --checkpoint kept/checkpoint --save-checkpoint kept/checkpoint`,
    )
    .action(async (flags: VerifyFlags) => {
      const { verify } = await import('./verify.js');
      await end(() => verify(flags));
    });
  addLogOption(audit.command('checkpoint'))
    .description('print the latest checkpoint, to be kept elsewhere')
    .option(...VKEY)
    .addHelpText('after', '\nExample:\n  sealwire audit checkpoint > /mnt/elsewhere/checkpoint')
    .action(async (flags: { dir: string; vkey?: string }) => {
      const { checkpoint } = await import('./verify.js');
      await end(() => checkpoint(flags));
    });
}

function registerBackup(audit: Command): void {
  addLogOption(audit.command('backup'))
    .argument('<to>', 'where to: a folder that is empty, or is made')
    .description('copy a log, also while it is written, and verify the copy')
    .option('--checkpoint <file>', 'checkpoints that were kept, to verify the copy with; can be repeated', collect)
    .option(...VKEY)
    .addHelpText(
      'after',
      `
The copy has all that the latest checkpoint covers, and most of what came since. It can be read, verified and put back.
The key that signs the log is not in it: copy the folder keys of the service, too.
Exit code 1: the copy does not verify, because something is wrong with the log.

Example:
  sealwire audit backup backup/audit --vkey kept/log.vkey --checkpoint kept/checkpoint`,
    )
    .action(async (to: string, flags: BackupFlags) => {
      const { backup } = await import('./backup.js');
      await end(() => backup(to, flags));
    });
}

function registerSearch(audit: Command): void {
  addFormatOption(addFilterOptions(addLogOption(audit.command('search'))), ['table', 'json', 'jsonl'])
    .description('print matching records')
    .option('--limit <count>', 'stop after this many records', wholeNumber(1))
    .addHelpText(
      'after',
      `
Options that are repeated mean any of their values; all options together must fit. Exit code 1: nothing was found.
Records hold the first 256 characters of a bound value: a longer one finds all that begin so.

Examples:
  sealwire audit search --bound order_id=o-17 --outcome opened
  sealwire audit search --since yesterday --until today --outcome refused --format jsonl`,
    )
    .action(async (flags: SearchFlags) => {
      const { search } = await import('./search.js');
      await end(() => search(flags));
    });
  addFormatOption(addFilterOptions(addLogOption(audit.command('stats'))), ['table', 'json'])
    .description('count records by event, method and principal, and fields by name, key, outcome and reason')
    .addHelpText('after', '\nExample:\n  sealwire audit stats --since 7d')
    .action(async (flags: StatsFlags) => {
      const { stats } = await import('./search.js');
      await end(() => stats(flags));
    });
  addFormatOption(addFilterOptions(addLogOption(audit.command('export'))), ['csv', 'json', 'jsonl'])
    .description(
      'print records for other programs; CSV has a row for each field, and no cell that a spreadsheet would run',
    )
    .addHelpText('after', '\nExample:\n  sealwire audit export --since 2026-01-01 > january.csv')
    .action(async (flags: ExportFlags) => {
      const { exportLog } = await import('./search.js');
      await end(() => exportLog(flags));
    });
}

function registerRead(audit: Command): void {
  addFormatOption(addLogOption(audit.command('show')), ['table', 'json'])
    .argument('<seq>', 'number of the record', wholeNumber(0))
    .description('print one whole record')
    .addHelpText('after', '\nExample:\n  sealwire audit show 1204')
    .action(async (seq: number, flags: ShowFlags) => {
      const { show } = await import('./search.js');
      await end(() => show(seq, flags));
    });
  addFormatOption(addFilterOptions(addLogOption(audit.command('tail'))), ['table', 'json', 'jsonl'])
    .description('print the last records')
    .option('-n, --lines <count>', 'how many', wholeNumber(0), 10)
    .option('-f, --follow', 'print each new record too, until SIGTERM or SIGINT')
    .addHelpText('after', '\nExample:\n  sealwire audit tail -f --outcome refused')
    .action(async (flags: TailFlags) => {
      const { tail } = await import('./tail.js');
      await end(() => tail(flags));
    });
}

function registerProofs(audit: Command): void {
  const prove = audit.command('prove').description('print a proof for somebody who has no access to the log');
  addLogOption(prove.command('inclusion'))
    .argument('<seq>', 'number of the record', wholeNumber(0))
    .description('prove that a record is in the log (C2SP tlog-proof)')
    .option('--checkpoint <file>', 'checkpoint to prove against (default: the latest)')
    .option(...VKEY)
    .addHelpText('after', '\nExample:\n  sealwire audit prove inclusion 1204 > record-1204.tlog-proof')
    .action(async (seq: number, flags: ProveFlags) => {
      const { proveInclusion } = await import('./prove.js');
      await end(() => proveInclusion(seq, flags));
    });
  addLogOption(prove.command('consistency'))
    .argument('<older>', 'file of a checkpoint that was kept')
    .description('prove that the log of a kept checkpoint is the beginning of this one')
    .option('--checkpoint <file>', 'the newer checkpoint (default: the latest)')
    .option(...VKEY)
    .addHelpText('after', '\nExample:\n  sealwire audit prove consistency kept/checkpoint > grown.proof')
    .action(async (older: string, flags: ProveFlags) => {
      const { proveConsistency } = await import('./prove.js');
      await end(() => proveConsistency(older, flags));
    });
  audit
    .command('check-proof')
    .argument('<file>', 'a proof of either kind')
    .description('verify a proof without the log; prints the proven record')
    .requiredOption('--vkey <key>', 'file with the verifier key, or the key itself')
    .addHelpText(
      'after',
      '\nExit code 1: it proves nothing.\n\nExample:\n  sealwire audit check-proof record-1204.tlog-proof --vkey log.vkey',
    )
    .action(async (file: string, flags: { vkey: string }) => {
      const { check } = await import('./prove.js');
      await end(() => check(file, flags));
    });
}

function registerReview(audit: Command): void {
  addLogOption(audit.command('open'))
    .argument('<seq>', 'number of the record', wholeNumber(0))
    .description("open one record with a reviewer's key alone; first record that in the reviewer's own log")
    .requiredOption('--reviewer-key <file>', "the reviewer's private key, mode 0600")
    .requiredOption('--reason <text>', 'why; it is recorded')
    .requiredOption('--review-log <folder>', "the reviewer's own log; created if missing")
    .option('--path <path>', 'only this field, e.g. card (default: all granted fields)')
    .option('--descriptors <file>', 'FileDescriptorSet of the service (default: the payments service)')
    .option('--who <name>', 'who opens it (default: the user who runs this)')
    .option(
      '--passphrase-file <file>',
      'passphrase of an encrypted key (default: SEALWIRE_KEY_PASSPHRASE, or asked for)',
    )
    .addHelpText(
      'after',
      `
Exit code 1: the record carries no grant, or none for this key.

Example:
  sealwire audit open 1204 --reviewer-key alice.json --reason 'dispute 881' --review-log ./reviews`,
    )
    .action(async (seq: number, flags: OpenFlags) => {
      const { open } = await import('./open-record.js');
      await end(() => open(seq, flags));
    });
  audit
    .command('reviewer-key')
    .argument('<file>', 'NAME.json for the private key; the public one becomes NAME.pub.json')
    .description("make a reviewer's key; the service gets the public half as audit.reviewerKey")
    .option('--encrypt', 'encrypt the private key with a passphrase')
    .option('--passphrase-file <file>', 'the passphrase (default: SEALWIRE_KEY_PASSPHRASE, or asked for)')
    .addHelpText('after', '\nExample:\n  sealwire audit reviewer-key alice.json --encrypt')
    .action(async (file: string, flags: ReviewerKeyFlags) => {
      const { makeReviewerKey } = await import('./make-reviewer-key.js');
      await end(() => makeReviewerKey(file, flags));
    });
}

/** Runs a command. Closing the pager ends it with success. */
async function end(run: () => Promise<number>): Promise<void> {
  endWithReader();
  process.exitCode = await run();
}
