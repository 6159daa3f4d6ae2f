// Package manifests validates every Kubernetes object that Sallyport renders, offline, against the schemas of the API servers
// themselves: Kubernetes 1.30 as kubectl-validate holds it, and newer ones from the module of Kubernetes. It is a module of its own,
// because Kubernetes' libraries have no place among the program's.
package manifests
