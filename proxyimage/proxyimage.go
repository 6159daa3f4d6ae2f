// Package proxyimage holds what those who run the image need besides the image itself.
package proxyimage

import _ "embed" // the profile

// Seccomp is the image's seccomp profile in the form of Docker, containerd and CRI-O: it allows what the agent and HAProxy call.
//
//go:embed seccomp.json
var Seccomp string
