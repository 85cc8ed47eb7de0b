// Command sluice is the inference gateway.
package main

import (
	"context"
	"os"

	"github.com/sluice-serving/sluice/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
