import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import {
  type Caller,
  type CallerOptions,
  createAccount,
  createCaller,
  peerAddress,
  readAltNames,
} from '../../src/server/caller.js';
import { requireTool } from '../support/tools.js';

type Headers = string | readonly string[];

function findCaller(options: CallerOptions, peer: string, header: Headers = [], tlsIdentity?: string): Caller {
  const metadata = new Metadata();
  for (const value of [header].flat()) metadata.add(options.callerHeader ?? 'x-sealwire-caller', value);
  return createCaller(options)({ peer, metadata, tlsIdentity });
}

function callerOf(...args: Parameters<typeof findCaller>): string {
  return findCaller(...args).principal;
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

  it('falls back to the proxy itself when its header is absent or empty', () => {
    const options = { trustedProxies: ['10.0.0.1'] };
    expect(callerOf(options, '10.0.0.1:1')).to.equal('10.0.0.1');
    expect(callerOf(options, '10.0.0.1:1', '')).to.equal('10.0.0.1');
  });

  for (const [what, header] of [
    ['a value that the proxy added to the one of the caller', ['forged', 'shop']],
    ['the same, joined as HTTP joins them', 'forged, shop'],
    ['two empty values', ['', '']],
    ['a name that would have to be cut off', 'x'.repeat(257)],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => callerOf({ trustedProxies: ['10.0.0.1'] }, '10.0.0.1:1', header))
        .to.throw(SealwireError)
        .with.property('code', 'CALLER_REFUSED');
      expect(callerOf({ trustedProxies: ['10.0.0.1'] }, '10.0.0.2:1', header)).to.equal('10.0.0.2');
    });
  }

  it('has an account by kind and name: equal names of two kinds are two callers', () => {
    const name = '203.0.113.9';
    const options = { trustedProxies: ['10.0.0.1'] };
    expect(findCaller(options, `${name}:4711`)).to.deep.equal({ principal: name, account: `address:${name}` });
    expect(findCaller(options, '10.0.0.1:1', name)).to.deep.equal({ principal: name, account: `proxy:${name}` });
    expect(findCaller(options, '10.0.0.2:1', [], name)).to.deep.equal({
      principal: name,
      account: `certificate:${name}`,
    });
  });

  it('has an account of bounded length, and none in common with another name that begins alike', () => {
    const [one, other] = ['1', '2'].map((end) => createAccount('certificate', `${'x'.repeat(300)}${end}`));
    expect(one).to.have.lengthOf.at.most(300);
    expect(one).not.to.equal(other);
    // Whoever chooses its name cannot choose another's digest.
    const digest = one?.slice('certificate:'.length) ?? '';
    expect(createAccount('certificate', digest)).not.to.equal(one);
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
