"""`python tests/faults`: the campaigns. Imported here and not above, since forked processes read this file again."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # what tests share, as pytest has it on its path

if __name__ == "__main__":
    from campaign import main

    main()
