/** Certificates of a CA of the test's own, by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A folder with a CA, and what it signed. */
export class TestCa {
  readonly folder: string;

  /** Leaves the calling test or suite pending where there is no openssl. */
  constructor(folder: string, context: Mocha.Context) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    try {
      this.#openssl(
        'req',
        '-x509',
        ...KEY,
        '-keyout',
        'ca.key',
        '-out',
        'ca.pem',
        '-days',
        '2',
        '-subj',
        '/CN=test CA',
      );
    } catch {
      context.skip();
    }
  }

  /** Path of a file, e.g. `ca.pem`. */
  at(name: string): string {
    return join(this.folder, name);
  }

  /** Makes `NAME.key` and `NAME.pem`. */
  sign(name: string, alternative = 'DNS:localhost,IP:127.0.0.1'): void {
    writeFileSync(this.at(`${name}.ext`), `subjectAltName=${alternative}\n`);
    this.#openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const ca = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`];
    this.#openssl('x509', '-req', ...files, ...ca, '-days', '2');
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: 'ignore' });
  }
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
