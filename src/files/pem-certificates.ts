/** Certificates of PEM files, each of them looked at: OpenSSL takes what it can read and is silent of the rest. */
import { X509Certificate } from 'node:crypto';
import { readPem } from './file-text.js';

/**
 * @param text of a file
 * @returns its certificates, at least one
 * @throws Error with `code` set to what is wrong
 */
export function readCertificates(text: string): X509Certificate[] {
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun === 0) throw fault('no certificate in PEM');
  try {
    const blocks = readPem(text).filter(({ label }) => label === 'CERTIFICATE');
    if (blocks.length === begun) return blocks.map(({ body }) => new X509Certificate(Buffer.from(body, 'base64')));
  } catch {
    // Said below.
  }
  throw fault('a certificate in it is broken or cut short');
}

function fault(code: string): Error {
  return Object.assign(new Error(code), { code });
}
