import type { KernelTables } from '../kernel-tables.js';
import type { MountPlan } from '../mount-plan.js';

/**
 * The plan as this kernel takes it: without SELinux there are no labels, and `context=` would be an unknown option. The
 * one place where that is decided.
 */
export function withoutUnusableLabel<Plan extends MountPlan>(plan: Plan, kernel: KernelTables): Plan {
  if (!('options' in plan) || !plan.options.some(isLabel) || kernel.takesLabels()) return plan;
  return { ...plan, options: plan.options.filter((option) => !isLabel(option)) };
}

function isLabel(option: string): boolean {
  return option.startsWith('context=');
}
