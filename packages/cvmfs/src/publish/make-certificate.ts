import { createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Certificate,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** sha256WithRSAEncryption, whose parameters are NULL (RFC 4055, section 5). */
const SHA256_WITH_RSA = new AlgorithmIdentifier({ algorithm: '1.2.840.113549.1.1.11', parameters: null });
const COMMON_NAME = '2.5.4.3';
const YEARS = 30;

/**
 * A self-signed certificate (RFC 5280) in PEM. Clients trust it by its fingerprint on the whitelist and look at nothing else in it,
 * so that it may live longer than the whitelist.
 * @param commonName whom it is for
 */
export function makeCertificate(key: KeyObject, commonName: string, now: Date): Buffer {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const end = new Date(now);
  end.setUTCFullYear(end.getUTCFullYear() + YEARS);
  const name = nameOf(commonName);
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: SHA256_WITH_RSA,
    issuer: name,
    subject: name,
    validity: new Validity({ notBefore: now, notAfter: end }),
    subjectPublicKeyInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
  });
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: SHA256_WITH_RSA,
    signatureValue: arrayBuffer(sign('sha256', Buffer.from(AsnConvert.serialize(tbsCertificate)), key)),
  });
  const lines =
    Buffer.from(AsnConvert.serialize(certificate))
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return Buffer.from(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`, 'latin1');
}

function nameOf(commonName: string): Name {
  const value = new AttributeValue({ utf8String: commonName });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: COMMON_NAME, value })])]);
}

/** Positive, and with a first byte that DER keeps. */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return arrayBuffer(bytes);
}

function arrayBuffer(bytes: Buffer): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
