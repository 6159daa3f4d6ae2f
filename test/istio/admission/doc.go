// Package admission holds the objects of component meshrouting against Istio's admission: its webhook's validation and the definitions
// of its resources. It compiles in a fraction of the time that the whole of istiod takes.
package admission
