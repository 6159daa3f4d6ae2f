// Package admission runs the admission policy for pod DNS through the code of the API server that runs such policies: its CEL
// environment, its match conditions and its JSON patcher. It is a module of its own, because that code has no place among the program's.
package admission
