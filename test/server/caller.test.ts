import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { type CallerOptions, createCaller, peerAddress, readAltNames } from '../../src/server/caller.js';
import { requireTool } from '../support/tools.js';

function callerOf(options: CallerOptions, peer: string, header?: string, tlsIdentity?: string): string {
  const metadata = new Metadata();
  if (header !== undefined) metadata.set(options.callerHeader ?? 'x-sealwire-caller', header);
  return createCaller(options)({ peer, metadata, tlsIdentity });
}

describe('caller', () => {
  it('is the address without its port by default', () => {
    expect(callerOf({}, '203.0.113.9:4711')).to.equal('203.0.113.9');
    expect(callerOf({}, '[2001:db8::1]:4711')).to.equal('2001:db8:0:0::/64');
    expect(callerOf({}, '::ffff:203.0.113.9:4711')).to.equal('203.0.113.9');
  });

  it('is the mTLS identity where there is one', () => {
    expect(callerOf({}, '203.0.113.9:4711', undefined, 'shop.example')).to.equal('shop.example');
  });

  it('ignores the header of an address that is not a listed proxy', () => {
    expect(callerOf({ trustedProxies: ['10.0.0.0/8'] }, '203.0.113.9:1', 'victim')).to.equal('203.0.113.9');
    expect(callerOf({}, '10.0.0.1:1', 'victim')).to.equal('10.0.0.1');
  });

  it("is a listed proxy's header, by address, range and mTLS identity", () => {
    expect(callerOf({ trustedProxies: ['10.0.0.1'] }, '10.0.0.1:1', 'shop')).to.equal('shop');
    expect(callerOf({ trustedProxies: ['10.0.0.0/8'] }, '10.9.9.9:1', 'shop')).to.equal('shop');
    expect(callerOf({ trustedProxies: ['2001:db8::/32'] }, '[2001:db8::7]:1', 'shop')).to.equal('shop');
    expect(callerOf({ trustedProxies: ['proxy.example'] }, '10.0.0.1:1', 'shop', 'proxy.example')).to.equal('shop');
  });

  it('falls back to the proxy itself when its header is absent, empty or oversized', () => {
    const options = { trustedProxies: ['10.0.0.1'] };
    expect(callerOf(options, '10.0.0.1:1')).to.equal('10.0.0.1');
    expect(callerOf(options, '10.0.0.1:1', '')).to.equal('10.0.0.1');
    expect(callerOf(options, '10.0.0.1:1', 'x'.repeat(257))).to.equal('10.0.0.1');
  });

  it('reads the configured header', () => {
    expect(callerOf({ trustedProxies: ['10.0.0.1'], callerHeader: 'x-client' }, '10.0.0.1:1', 'shop')).to.equal('shop');
  });

  for (const range of ['10.0.0.0/33', '10.0.0.0/x', '2001:db8::/129']) {
    it(`refuses the range ${range}`, () => {
      expect(() => createCaller({ trustedProxies: [range] }))
        .to.throw(SealwireError)
        .with.property('code', 'OPTIONS_INVALID');
    });
  }

  it('is the network of an IPv6 address: whoever has one has 2^64', () => {
    for (const peer of [
      '[2001:db8:1:2::7]:1',
      '[2001:db8:1:2:ffff:ffff:ffff:ffff]:9',
      '[2001:db8:1:2:0:0:0:1%eth0]:1',
    ]) {
      expect(callerOf({}, peer)).to.equal('2001:db8:1:2::/64');
    }
    expect(callerOf({}, '[2001:db8:1:3::7]:1')).to.equal('2001:db8:1:3::/64');
    expect(callerOf({}, '[::1]:1')).to.equal('0:0:0:0::/64');
    expect(callerOf({ trustedProxies: ['10.0.0.1'] }, '[2001:db8::7]:1')).to.equal('2001:db8:0:0::/64');
  });

  it('takes a peer without a port', () => {
    expect(peerAddress('unknown')).to.equal('unknown');
  });
});

describe('readAltNames', () => {
  for (const [text, names] of [
    ['', []],
    ['DNS:a.example', [['DNS', 'a.example']]],
    [
      'DNS:a, URI:spiffe://b/c, IP Address:127.0.0.1',
      [
        ['DNS', 'a'],
        ['URI', 'spiffe://b/c'],
        ['IP Address', '127.0.0.1'],
      ],
    ],
    ['DNS:"foo, URI:spiffe://corp/admin, DNS:x"', [['DNS', 'foo, URI:spiffe://corp/admin, DNS:x']]],
    [
      'DNS:"a\\"b, URI:c", URI:d',
      [
        ['DNS', 'a"b, URI:c'],
        ['URI', 'd'],
      ],
    ],
  ] as const) {
    it(`reads ${text}`, () => expect(readAltNames(text)).to.deep.equal(names));
  }
  for (const text of ['DNS:"a', 'a.example', 'DNS:a,URI:b', 'DNS:"a"b', 'DNS:"\\x"', ', DNS:a']) {
    it(`refuses ${text}`, () => expect(readAltNames(text)).to.equal(undefined));
  }

  it('does not take a part of a name for a name, in a real certificate', async function () {
    requireTool(this, 'openssl');
    const dir = await mkdtemp(join(tmpdir(), 'sealwire-san-'));
    const conf =
      '[req]\ndistinguished_name=d\nx509_extensions=x\nprompt=no\n[d]\nCN=honest\n[x]\nsubjectAltName=@n\n[n]\n';
    await writeFile(join(dir, 'conf'), `${conf}DNS.1 = foo, URI:spiffe://corp/admin\n`);
    const args = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-config',
      join(dir, 'conf'),
    ];
    const { stdout } = await promisify(execFile)('openssl', [...args, '-keyout', join(dir, 'key')]);
    await rm(dir, { recursive: true });
    const { subjectAltName = '' } = new X509Certificate(stdout);
    expect(readAltNames(subjectAltName)).to.deep.equal([['DNS', 'foo, URI:spiffe://corp/admin']]);
  });
});
