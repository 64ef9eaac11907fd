# Everything is in start.py, which works the same without make (Windows: py start.py lab).
# More words for a command go into ARGS: make test ARGS="-k store".
PYTHON ?= $(shell command -v python3 || command -v python)

.PHONY: lab test demo bench doctor check
lab test demo bench doctor check:
	@$(PYTHON) start.py $@ $(ARGS)
