import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SealwireError } from '../../src/errors.js';
import { type CallerOptions, createCaller, peerAddress } from '../../src/server/caller.js';

function callerOf(options: CallerOptions, peer: string, header?: string, tlsIdentity?: string): string {
  const metadata = new Metadata();
  if (header !== undefined) metadata.set(options.callerHeader ?? 'x-sealwire-caller', header);
  return createCaller(options)({ peer, metadata, tlsIdentity });
}

describe('caller', () => {
  it('is the address without its port by default', () => {
    expect(callerOf({}, '203.0.113.9:4711')).to.equal('203.0.113.9');
    expect(callerOf({}, '[2001:db8::1]:4711')).to.equal('2001:db8::1');
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

  it('takes a peer without a port', () => {
    expect(peerAddress('unknown')).to.equal('unknown');
  });
});
