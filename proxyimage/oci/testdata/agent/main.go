// Command agent stands in for the agent in tests of the image.
package main

func main() {}
