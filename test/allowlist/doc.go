// Package allowlist plays the life of allowlisted IPs from end to end: a year of a stack with partners who enforce their lists and an
// operator who tries every step that is not allowed, once with the program's own decisions and the command line, once with
// the real Pulumi command line and stand-in providers as well. Package test plays it a third time, with real packets.
//
// The clock is set through SALLYPORT_NOW, so a year takes as long as its updates.
package allowlist
