#!/bin/sh
echo "Good day, $1."
