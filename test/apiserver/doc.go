// Package apiserver runs a real API server of Kubernetes, with etcd behind it, on loopback, and hands it every object that Sallyport
// renders: those of the components' golden files, and those that the program itself makes of a stack file.
//
// Both servers are built from their own modules (folder servers). No kubelet and no controller runs, so nothing schedules a pod, and a
// deleted namespace stays; what is shown is admission: schemas, defaults, validation, server-side apply, admission policies and Pod
// Security. `make test-apiserver` builds the servers and runs this; `make test` does not.
package apiserver
