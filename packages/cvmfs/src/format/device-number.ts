/** Device numbers as glibc's makedev(3) packs them: 12 and 8 bits of both, then the rest of the minor and of the major. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

export function parseDevice(packed: bigint): DeviceNumber {
  return {
    major: Number(((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n)),
    minor: Number((packed & 0xffn) | ((packed >> 12n) & 0xffffff00n)),
  };
}

export function packDevice({ major, minor }: DeviceNumber): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (low & 0xffn) | ((high & 0xfffn) << 8n) | ((low & 0xffffff00n) << 12n) | ((high & 0xfffff000n) << 32n);
}
