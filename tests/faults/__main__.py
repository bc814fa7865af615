"""`python tests/faults`: the campaigns. Imported here and not above, since forked processes read this file again."""

if __name__ == "__main__":
    from campaign import main

    main()
