"""Django over psycopg: migrate of its own applications and of `shelf`, there and back.

Run as `python test_django.py PORT`; exits with the number of failed topics.
"""

import io
import sys

import django
from django.conf import settings

import topics

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": sys.argv[1],
            "USER": "demo",
            "PASSWORD": "demo1234",
            "NAME": "django",
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.sites",
        "django.contrib.flatpages",
        "django.contrib.redirects",
        "shelf",
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SECRET_KEY="not one",
    SITE_ID=1,
    USE_TZ=True,
)


def make_database():
    import psycopg

    place = f"host=127.0.0.1 port={sys.argv[1]} user=demo password=demo1234 dbname=company"
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("CREATE DATABASE django")


def run(*words, **options):
    from django.core.management import call_command

    out = io.StringIO()
    call_command(*words, stdout=out, verbosity=1, **options)
    return out.getvalue()


def forwards():
    assert "shelf.0004_limits... OK" in run("migrate")
    assert "No migrations to apply" in run("migrate")
    assert "No changes detected" in (changes := run("makemigrations", dry_run=True)), changes
    shown = run("showmigrations")
    assert "[ ]" not in shown, shown


def models():
    from django.contrib.auth.models import User
    from django.db import IntegrityError, transaction
    from shelf.models import Author, Book, Genre

    assert Book.objects.count() == 10 and Author.objects.count() == 3
    assert [book.page_count for book in Book.objects.order_by("id")] == [200 + 2 * number for number in range(10)]
    assert Book.objects.get(price=None).slug == "title-0"
    user = User.objects.create_superuser("root", "root@example.com", "secret")
    first = Book.objects.select_related("author").get(slug="title-4")
    assert first.author.name == "Author 1" and first.data == {}
    first.owner, first.data = user, {"a": [1, 2]}
    first.save()
    first.genres.add(Genre.objects.create(label="prose"))
    assert Book.objects.filter(genres__label="prose", data__a__contains=[2], owner=user).count() == 1
    for wrong in [{"page_count": -1}, {"slug": "title-1"}, {"title": "Title 1"}]:
        try:
            with transaction.atomic():
                Book.objects.filter(slug="title-4").update(**wrong)
            raise AssertionError(wrong)
        except IntegrityError:
            pass
    fresh = Book.objects.create(title="New", slug="new", author=first.author)
    assert fresh.id == 11, fresh.id
    user.delete()
    first.refresh_from_db()
    assert first.owner is None


def backwards():
    from django.db import connection

    run("migrate", "shelf", "0002")
    with connection.cursor() as cursor:
        cursor.execute("SELECT author, page_count, price FROM shelf_book WHERE slug = 'title-4'")
        assert cursor.fetchone()[:2] == ("Author 1", 104)
        cursor.execute("SELECT count(*) FROM shelf_book WHERE author = ''")
        assert cursor.fetchone() == (0,)
    run("migrate", "shelf", "0001")
    run("migrate", "shelf")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT slug), count(DISTINCT mark), min(page_count) FROM shelf_book")
        assert cursor.fetchone() == (11, 11, 0)
    run("migrate", "shelf", "zero")
    run("migrate", "auth", "zero")
    run("migrate")


def inspection():
    from django.db import connection

    shown = run("inspectdb")
    assert "class ShelfBook(models.Model)" in shown and "unique_together = (('author', 'title'),)" in shown, shown
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "shelf_book")
    assert found["shelf_pages_positive"]["check"] and found["shelf_one_title"]["unique"]
    assert found["shelf_by_author"]["columns"] == ["author_id", "title"]
    assert run("sqlflush") and run("sqlsequencereset", "shelf")
    run("flush", interactive=False)


make_database()
django.setup()
topics.run([forwards, models, backwards, inspection], each_needs_the_last=True)
