// Package clouds holds the end-to-end tests of the stacks that live in a cloud: the real Pulumi command line, the real program,
// and stand-in providers (test/standin) that keep a world and refuse what the clouds would refuse. No account is needed.
//
// What a test asserts about public IPs it asserts on the world, not on what Pulumi says.
package clouds
