// Package demo shows in two minutes what the egress layer is worth: it sends load through stack local and prints, side by side, what
// was measured and what the capacity model predicts.
//
// The NAT that runs out of ports is not the stack's: a scratch lab of the demo's own has one with 64 ports per VM and a
// TIME_WAIT scaled down from 120 s to 2 s. Blocking depends on the offered load alone, rate x (hold + TIME_WAIT), so the same
// result is there after seconds instead of minutes. Everything else is measured in the stack as it stands. The one thing that is
// broken there, a proxy killed under load, is repaired before Run returns, also when it is interrupted.
package demo
