// Package promql reads every alert expression that Sallyport renders with the parser of Prometheus itself. It is a module of its own,
// because Prometheus has no place among the program's dependencies.
package promql
